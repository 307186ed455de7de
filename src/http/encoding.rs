//! Which compressed answers a client takes.

use axum::http::{HeaderMap, header};

/// A way to compress an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// As `Content-Encoding` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

/// Whether `coding` is among the codings that the client takes (RFC 9110, 12.5.3).
pub(super) fn accepts(headers: &HeaderMap, coding: Coding) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok());
    let mut any = None;
    for it in values.flat_map(|it| it.split(',')) {
        let mut parts = it.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts
            .filter_map(|it| it.strip_prefix("q="))
            .any(|it| it.trim().parse::<f32>().is_ok_and(|it| it <= 0.0));
        match name {
            "*" => any = Some(!refused),
            // Gzip has an older name.
            it if it.strip_prefix("x-").unwrap_or(it) == coding.name() => return !refused,
            _ => {}
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_for_who_takes_it() {
        let check = |values: &[&str], gzip: bool, brotli: bool| {
            let value = |it: &&str| (header::ACCEPT_ENCODING, HeaderValue::from_str(it).unwrap());
            let headers: HeaderMap = values.iter().map(value).collect();
            let res = (accepts(&headers, Coding::Gzip), accepts(&headers, Coding::Brotli));
            assert_eq!(res, (gzip, brotli), "{values:?}");
        };
        check(&[], false, false);
        check(&["gzip"], true, false);
        check(&["x-gzip"], true, false);
        check(&["deflate, gzip;q=1.0, *;q=0.5"], true, true);
        check(&["gzip;q=0"], false, false);
        check(&["gzip;q=0.0, *"], false, true);
        check(&["br", "gzip"], true, true);
        check(&["*"], true, true);
        check(&["*;q=0"], false, false);
        check(&["identity"], false, false);
    }
}
