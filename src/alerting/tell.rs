//! Who is told of what an alert did, and what is said of those who are not.

use super::engine::{Context, Silenced, alert, silenced_by};
use super::table::Instance;
use crate::alerts::{Compiled, Hush, News, Rule, Tell};
use crate::event::Time;
use crate::notify;
use crate::notify::Notification;
use std::collections::BTreeMap;

/// Puts into the round what is to be told of `it`, and what is held back.
pub(super) fn announce(compiled: &Compiled, it: &mut Instance, context: &mut Context<'_>) {
    let (silences, now) = (context.silences, context.now);
    let quiet = || compiled.mutes.holds(now) || is_silenced(silences, &it.labels, now);
    let Some(news) = it.state.news(&compiled.timing, now, quiet) else { return };
    let (News::Tell(tell) | News::Held(tell, _)) = news;
    let mut alert = alert(compiled, it);
    if tell == Tell::Flapping {
        alert.annotations.insert("flapping".to_owned(), "true".to_owned());
    }
    let notification = Notification {
        alert,
        transition: it.state.told_count,
        kind: match tell {
            Tell::Firing | Tell::Flapping => notify::Kind::Firing,
            Tell::Repeat => notify::Kind::Repeat,
            Tell::Escalation(_) => notify::Kind::Escalation,
            Tell::Resolved => notify::Kind::Resolved,
        },
        channels: whom(&compiled.rule, it, tell),
        group_key: Some(compiled.rule.id.clone()),
    };
    match news {
        News::Tell(_) => {
            it.told_to = match (tell, it.told_to.take()) {
                (Tell::Resolved, _) => None,
                (Tell::Escalation(_) | Tell::Repeat, Some(before)) => {
                    Some(together(before, &notification.channels))
                }
                _ => Some(notification.channels.clone()),
            };
            context.round.notices.push(notification);
        }
        News::Held(_, why) => {
            let why = match why {
                Hush::Quiet if compiled.mutes.holds(now) => {
                    "a mute time of the rule holds".to_owned()
                }
                Hush::Quiet => {
                    let ids = silenced_by(silences, &it.labels, now);
                    format!("silenced by {}", ids.join(", "))
                }
                Hush::Flapping => "it fires again and again (flap_window)".to_owned(),
                Hush::Acknowledged => {
                    let by = it.state.acknowledged.as_ref().map_or("somebody", |it| &it.by);
                    format!("acknowledged by {by}")
                }
            };
            context.round.held.push((notification, why));
        }
    }
}

/// The channels that are told; none for all. Whoever was told that it fires is told of the end, also where the rule has
/// others by then, or is gone.
fn whom(rule: &Rule, it: &Instance, tell: Tell) -> Vec<String> {
    match (tell, &it.told_to) {
        (Tell::Escalation(n), _) => {
            let step = rule.escalation.get(n);
            step.map_or(&rule.notification_channels, |it| &it.notification_channels).clone()
        }
        (Tell::Resolved, Some(told)) => told.clone(),
        _ => rule.notification_channels.clone(),
    }
}

/// Both; none stands for all.
fn together(mut before: Vec<String>, more: &[String]) -> Vec<String> {
    if before.is_empty() || more.is_empty() {
        return Vec::new();
    }
    for it in more {
        if !before.contains(it) {
            before.push(it.clone());
        }
    }
    before
}

fn is_silenced(
    silences: &BTreeMap<String, Silenced>,
    labels: &BTreeMap<String, String>,
    now: Time,
) -> bool {
    silences.values().any(|it| it.holds(labels, now))
}
