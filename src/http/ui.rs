//! The web page that `web/` is built to, embedded in the binary.
//!
//! What is built without Node has no page; `home` then shows another.

use super::encoding;
use super::encoding::Coding;
use super::endpoint::Call;
use super::error::ApiError;
use super::reply;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use rust_embed::RustEmbed;
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "web/dist/ui"]
#[allow_missing = true]
struct Files;

/// Scripts and styles come from here alone, and none stands in the page; nothing is asked of other servers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A part is another one as soon as it has another name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The page itself, if it was built.
pub(super) fn page(headers: &HeaderMap) -> Option<Response<Body>> {
    let mut response = file("index.html", headers)?;
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// `GET /assets/{name}`: a script, a style sheet or a picture of the page.
pub(super) async fn asset(call: Call) -> Result<Response<Body>, ApiError> {
    let name = call.last_segment();
    let found = file(&format!("assets/{name}"), &call.headers);
    let mut response = found.ok_or_else(|| {
        ApiError::not_found("the page has no such part: load it again, it has changed".to_owned())
    })?;
    response.headers_mut().insert(header::CACHE_CONTROL, FOR_EVER);
    Ok(response)
}

/// A file of the page, in the smallest form that the client takes.
fn file(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let media = HeaderValue::from_static(media_type(path)?);
    let forms = [(Coding::Brotli, "br"), (Coding::Gzip, "gz")];
    let packed = forms.into_iter().filter(|(it, _)| encoding::accepts(headers, *it));
    let packed = packed
        .filter_map(|(it, ending)| Some((it, Files::get(&format!("{path}.{ending}"))?.data)))
        .next();
    let (coding, data) = match packed {
        Some((coding, data)) => (Some(coding), data),
        None => (None, Files::get(path)?.data),
    };
    let mut response = reply::with_type(StatusCode::OK, media, bytes(data));
    let answer = response.headers_mut();
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(it) = coding {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static(it.name()));
    }
    Some(response)
}

fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(it) => Bytes::from_static(it),
        Cow::Owned(it) => it.into(),
    }
}

/// What a file is, by its ending; nothing for what the page has no files of.
fn media_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        assert_eq!(media_type("assets/app-1a2b.js"), Some("text/javascript; charset=utf-8"));
        assert_eq!(media_type("assets/app-1a2b.css"), Some("text/css; charset=utf-8"));
        assert_eq!(media_type("assets/app-1a2b.js.gz"), None);
        assert_eq!(media_type("assets"), None);
    }

    /// Whatever was built has a page whose parts are there, each in all its forms.
    #[test]
    fn what_is_embedded_is_whole() {
        let files: Vec<_> = Files::iter().collect();
        let parts = || files.iter().filter(|it| media_type(it).is_some());
        assert_eq!(parts().next().is_some(), Files::get("index.html").is_some());
        for part in parts() {
            for ending in ["br", "gz"] {
                let packed = Files::get(&format!("{part}.{ending}")).unwrap().data.len();
                assert!(packed > 0, "{part}.{ending}");
            }
            let mut headers = HeaderMap::new();
            let coding = |it: &HeaderMap| {
                file(part, it).unwrap().headers().get(header::CONTENT_ENCODING).cloned()
            };
            assert_eq!(coding(&headers), None);
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            assert_eq!(coding(&headers).unwrap(), "gzip");
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
            assert_eq!(coding(&headers).unwrap(), "br");
        }
    }
}
