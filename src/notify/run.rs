//! Serving the channels: who is due is served, each channel by one message at a time, all of them side by side.

use super::channel::{Channel, Slack, Target};
use super::queue::{Next, Pace};
use super::record::ACTIVE;
use super::send::SLACK_GAP;
use super::{Outbox, record};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Messages on their way at once.
const AT_ONCE: usize = 64;
/// How often what is too old is looked for.
const KEEP_INTERVAL: Duration = Duration::from_mins(10);

/// What a channel is to be sent.
enum Job {
    Message(Arc<Channel>, Vec<Arc<str>>),
    Resend(Arc<Channel>),
}

impl Outbox {
    /// Serves all channels until `stopping` is cancelled, and then ends what is on its way.
    pub async fn run(&self, stopping: CancellationToken) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        self.begin_resending();
        let mut keep_at = Instant::now();
        while !stopping.is_cancelled() {
            if Instant::now() >= keep_at {
                keep_at = Instant::now() + KEEP_INTERVAL;
                let outbox = self.clone();
                tasks.spawn_blocking(move || outbox.keep());
            }
            let (jobs, wait) = self.due(places.available_permits());
            for job in jobs {
                let (outbox, places) = (self.clone(), places.clone());
                tasks.spawn(async move {
                    let _place = places.acquire().await;
                    match job {
                        Job::Message(channel, ids) => outbox.deliver(&channel, ids).await,
                        Job::Resend(channel) => outbox.resend(&channel).await,
                    }
                    outbox.shared.wake.notify_one();
                });
            }
            let wait = wait.min(keep_at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = time::sleep(wait) => {}
                () = stopping.cancelled() => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// At most `places` jobs, whose channels are busy from now on, and how long there is nothing else to do.
    fn due(&self, places: usize) -> (Vec<Job>, Duration) {
        let channels = self.shared.channels().clone();
        let (now, at) = (self.shared.now(), Instant::now());
        let mut queues = self.shared.queues();
        let (mut jobs, mut wait) = (Vec::new(), KEEP_INTERVAL);
        for (id, queue) in queues.iter_mut() {
            let Some(channel) = channels.get(id).filter(|it| it.enabled) else { continue };
            if jobs.len() >= places {
                // Whoever ends wakes us.
                break;
            }
            match queue.next(now, at, pace(channel)) {
                Next::Send(ids) => {
                    queue.busy = true;
                    jobs.push(Job::Message(channel.clone(), ids));
                    continue;
                }
                Next::Wait(it) => wait = wait.min(it),
                Next::Nothing => {}
            }
            match queue.resend_at.filter(|_| !queue.busy) {
                Some(it) if it <= at => {
                    queue.busy = true;
                    jobs.push(Job::Resend(channel.clone()));
                }
                Some(it) => wait = wait.min(it - at),
                None => {}
            }
        }
        // A sleep of nothing would never let anybody else run.
        (jobs, wait.max(Duration::from_millis(1)))
    }

    /// What fires is sent to Alertmanagers at once: they may have been started anew as well.
    fn begin_resending(&self) {
        let mut queues = self.shared.queues();
        for (id, channel) in self.shared.channels().iter() {
            let known = matches!(channel.target, Target::Alertmanager(_))
                && self.shared.table.prefix(&record::key2(ACTIVE, id, "")).next().is_some();
            if known {
                queues.entry(id.clone()).or_default().resend_at = Some(Instant::now());
            }
        }
    }
}

fn pace(channel: &Channel) -> Pace {
    match &channel.target {
        Target::Slack(Slack::Hook(_) | Slack::Bot { .. }) => Pace { gap: SLACK_GAP, gathers: true },
        Target::Email(_) | Target::Alertmanager(_) => Pace { gap: Duration::ZERO, gathers: true },
        // Machines read these one by one.
        Target::Webhook(_) => Pace::default(),
    }
}
