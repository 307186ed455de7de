//! Answers that are read as they come.

use super::{Attempt, Client, Failure, Request};
use crate::cli::Error;
use reqwest::header;
use tokio::time;

impl Client {
    /// Sends `request` once and gives `each` the body of the answer in pieces, as they come. The client's
    /// timeout is how long the server may be silent.
    pub(in crate::cli) async fn stream(
        &self,
        request: &Request<'_>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let url = format!("{}{}", self.base, request.path);
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token);
        }
        if let Some((kind, body)) = &request.body {
            builder = builder.header(header::CONTENT_TYPE, *kind).body(body.clone());
        }
        let silent = || {
            let seconds = self.timeout.as_secs_f64();
            Error::Unavailable(format!("{} was silent for {seconds} s", self.base))
        };
        let response = time::timeout(self.timeout, builder.send()).await.map_err(|_| silent())?;
        let mut response = response.map_err(|err| failure(self.unreachable(&err)))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.text().await.unwrap_or_default();
            return match self.refusal(status, None, body) {
                Ok(body) => each(body.as_bytes()),
                Err(attempt) => Err(failure(attempt)),
            };
        }
        loop {
            let chunk = time::timeout(self.timeout, response.chunk()).await;
            match chunk.map_err(|_| silent())? {
                Ok(Some(it)) => each(&it)?,
                Ok(None) => return Ok(()),
                Err(err) => {
                    let why = super::reason(&err);
                    let why = format!("the answer of {} broke off: {why}", self.base);
                    return Err(Error::Unavailable(why));
                }
            }
        }
    }
}

fn failure(attempt: Attempt) -> Error {
    match attempt {
        Attempt::Again(why, _) => Error::Unavailable(why),
        Attempt::Final(Failure::Bad(why)) => Error::Refused(why),
        Attempt::Final(Failure::Other(error)) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{http, serve};
    use super::super::{Args, Client, Request, block_on};
    use crate::cli::{Error, Session};
    use reqwest::Method;
    use std::time::Duration;

    fn stream(answer: String) -> (Result<(), Error>, String) {
        let (url, server) = serve(vec![answer]);
        let (session, _, _) = Session::recorded(&[], "");
        let timeout = Some(Duration::from_secs(30));
        let args = Args { url: Some(url), token: Some("secret".to_owned()), timeout };
        let client = Client::new(&args, &session).unwrap();
        let request = Request { method: Method::GET, path: "/x", body: None };
        let mut read = String::new();
        let result = block_on(client.stream(&request, &mut |it| {
            read.push_str(std::str::from_utf8(it).unwrap());
            Ok(())
        }));
        assert!(server.join().unwrap()[0].contains("authorization: Bearer secret"));
        (result, read)
    }

    #[test]
    fn a_body_is_handed_on_and_one_that_breaks_off_is_an_error() {
        let (result, read) = stream(http("200 OK", "", "one\ntwo\n"));
        assert!(result.is_ok() && read == "one\ntwo\n", "{read}");
        let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\none\n".to_owned();
        let (result, read) = stream(broken);
        let err = result.unwrap_err();
        assert_eq!((err.exit_code(), read.as_str()), (69, "one\n"));
        assert!(err.to_string().contains("broke off"), "{err}");
    }

    #[test]
    fn a_refusal_says_why() {
        let (result, read) = stream(http("409 Conflict", "", r#"{"message":"no, because"}"#));
        let err = result.unwrap_err();
        assert!(err.to_string().contains("no, because") && read.is_empty(), "{err}");
        assert_eq!(err.exit_code(), 1);
    }
}
