//! Webhooks, signed as Standard Webhooks has it (<https://www.standardwebhooks.com/>): the id, the time of the attempt and
//! the body are signed together, so that a receiver can tell replays and retries.

use super::Attempt;
use super::http::Client;
use crate::event::Time;
use crate::notify::channel::{Body, Channel, Webhook, signing_key};
use crate::notify::message::Message;
use crate::notify::render;
use crate::notify::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

pub(super) async fn send(
    client: &Client,
    webhook: &Webhook,
    channel: &Channel,
    message: &Message,
    now: Time,
) -> Attempt {
    let (body, media) = match &webhook.body {
        Body::Standard => (render::standard(message).to_string(), "application/json"),
        Body::AlertmanagerV4 => {
            (render::alertmanager_v4(message, &channel.name).to_string(), "application/json")
        }
        Body::Template(template, media) => match render::template(template, media, message) {
            Ok(it) => (it, media.as_str()),
            Err(error) => return Attempt::dead(error),
        },
    };
    let seconds = now.as_millis().div_euclid(1000).to_string();
    let mut headers = of_people(&webhook.headers);
    let mut set = |name: &'static str, value: &str| match HeaderValue::from_str(value) {
        Ok(it) => drop(headers.insert(HeaderName::from_static(name), it)),
        // What cannot be a header was refused when the channel was made.
        Err(_) => tracing::error!(header = name, "a header of a notification was left out"),
    };
    set("content-type", media);
    set("webhook-id", &message.id);
    set("webhook-timestamp", &seconds);
    set("x-observatory-notification", &message.id);
    if !webhook.secrets.is_empty() {
        let signed = webhook.secrets.iter();
        let signed = signed.filter_map(|it| sign(it, &message.id, &seconds, &body));
        set("webhook-signature", &signed.collect::<Vec<_>>().join(" "));
    }
    match client.post(&webhook.url, headers, body.into_bytes(), webhook.timeout).await {
        Ok(answer) => answer.attempt(),
        Err(attempt) => attempt,
    }
}

/// `v1,` and the HMAC-SHA256 of id, time and body.
fn sign(secret: &Secret, id: &str, seconds: &str, body: &str) -> Option<String> {
    let key = signing_key(secret.expose())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    for part in [id, ".", seconds, ".", body] {
        mac.update(part.as_bytes());
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// The headers of a channel; they are marked as what no log shows.
pub(super) fn of_people(headers: &[(String, Secret)]) -> HeaderMap {
    let mut res = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value.expose());
        if let (Ok(name), Ok(mut value)) = (name, value) {
            value.set_sensitive(true);
            res.insert(name, value);
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the reference implementations.
    #[test]
    fn the_signature_is_that_of_the_reference() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let res = sign(&secret, id, "1614265330", "{\"test\": 2432232314}");
        assert_eq!(res.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }
}
