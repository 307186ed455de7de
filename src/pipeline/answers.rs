//! Telling many that wait that their commit is done.
//!
//! Waking a task from outside of the runtime costs a system call each. So the writer hands all answers of a
//! commit to one task, which wakes the others from inside.

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// An answer and where it goes.
pub(super) type Answer<T> = (oneshot::Sender<T>, T);

/// Answers fewer than this are given directly.
const FEW: usize = 4;

/// Where the writer puts its answers.
#[derive(Debug)]
pub(super) struct Answers<T>(Option<mpsc::UnboundedSender<Vec<Answer<T>>>>);

impl<T: Send + 'static> Answers<T> {
    /// Starts the task on the current runtime. Without one, answers are given directly.
    pub(super) fn start() -> Self {
        let Ok(runtime) = Handle::try_current() else { return Self(None) };
        let (sender, mut commits) = mpsc::unbounded_channel();
        runtime.spawn(async move {
            while let Some(answers) = commits.recv().await {
                give(answers);
            }
        });
        Self(Some(sender))
    }

    /// Gives all answers of a commit.
    pub(super) fn send(&self, answers: Vec<Answer<T>>) {
        match &self.0 {
            Some(sender) if answers.len() >= FEW => {
                // The runtime is gone: whoever waits on another one is answered directly.
                if let Err(mpsc::error::SendError(answers)) = sender.send(answers) {
                    give(answers);
                }
            }
            _ => give(answers),
        }
    }
}

fn give<T>(answers: Vec<Answer<T>>) {
    for (reply, answer) in answers {
        // Whoever does not wait any more has hung up; the event is stored all the same.
        let _ = reply.send(answer);
    }
}
