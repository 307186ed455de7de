//! Answers that are read as they come.

use super::{Attempt, Client, Request, mistaken, reason, retry_after};
use crate::cli::{Error, Session};
use std::time::Duration;

/// An answer that is read as it comes.
#[derive(Debug)]
pub(in crate::cli) struct Stream {
    response: reqwest::Response,
    /// How long it may be silent.
    patience: Duration,
    base: String,
}

impl Client {
    /// Opens the answer to `request`, which can be sent again, for reading as it comes; the time-out is for
    /// the beginning, and then for each pause.
    pub(in crate::cli) async fn open(
        &self,
        request: &Request<'_>,
        session: &mut Session,
    ) -> Result<Stream, Error> {
        let mut tell = |it: String| session.note(&it);
        let attempt = |left| self.attempt_stream(request, left);
        let response = self.persist(self.timeout, &mut tell, attempt).await.map_err(mistaken)?;
        Ok(Stream { response, patience: self.timeout, base: self.base.clone() })
    }

    async fn attempt_stream(
        &self,
        request: &Request<'_>,
        left: Duration,
    ) -> Result<reqwest::Response, Attempt> {
        let response = match tokio::time::timeout(left, self.build(request).send()).await {
            Ok(it) => it.map_err(|err| self.unreachable(&err))?,
            Err(_) => {
                return Err(Attempt::Again(
                    format!("{} does not answer: timed out", self.base),
                    None,
                ));
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, after) = (response.status(), retry_after(&response));
        let body = tokio::time::timeout(left, response.text()).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(self.refusal(status, after, &body))
    }
}

impl Stream {
    /// Lets it be silent for so long.
    pub(in crate::cli) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next bytes; `None` after the last ones. Unlike an end, what breaks off is an error.
    pub(in crate::cli) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let base = &self.base;
        match tokio::time::timeout(self.patience, self.response.chunk()).await {
            Ok(Ok(it)) => Ok(it),
            Ok(Err(err)) => Err(Error::Unavailable(format!("{base} broke off: {}", reason(&err)))),
            Err(_) => {
                let seconds = self.patience.as_secs_f64();
                Err(Error::Unavailable(format!("{base} has sent nothing for {seconds}s")))
            }
        }
    }
}
