//! Signals.

use std::{future::Future, io};
use tokio::signal::unix::{Signal, SignalKind, signal as listen};

/// Starts to listen for SIGTERM and SIGINT. The future completes with the name of the first one; a second
/// one ends the process at once with exit code 1, for a drain that takes too long to wait for.
///
/// Signals are taken from the moment of this call, so that none is lost before the future is polled. Must be
/// called within a runtime.
///
/// # Errors
///
/// The system refuses the handlers.
pub fn signal() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::error!(signal = name, "{name} again: stopping at once");
            std::process::exit(1);
        });
        name
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// The SIGHUPs that arrive from now on. Must be called within a runtime.
///
/// # Errors
///
/// The system refuses the handler.
pub fn hangup() -> io::Result<Hangup> {
    Ok(Hangup(listen(SignalKind::hangup())?))
}

/// A stream of SIGHUPs; several that arrive before one is taken count as one.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Waits for the next SIGHUP.
    pub async fn recv(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn raise(signal: &str) {
        let me = std::process::id().to_string();
        let status = std::process::Command::new("kill").args([signal, &me]).status().unwrap();
        assert!(status.success());
    }

    #[tokio::test]
    async fn hangups_arrive_one_by_one() {
        let mut hangup = hangup().unwrap();
        for _ in 0..2 {
            raise("-HUP");
            tokio::time::timeout(Duration::from_secs(5), hangup.recv()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_signal_that_came_before_the_first_poll_counts() {
        let signal = signal().unwrap();
        raise("-TERM");
        let name = tokio::time::timeout(Duration::from_secs(5), signal).await.unwrap();
        assert_eq!(name, "SIGTERM");
    }
}
