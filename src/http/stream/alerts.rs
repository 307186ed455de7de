//! `/api/v1/monitoring/ws/alerts`: alerts as they change.
//!
//! The first message is everything that is pending or fires: `{"type":"alerts","sequence":7,"data":[..]}`. Then each change
//! is one: `{"type":"alert","sequence":8,"at":..,"change":"firing","data":{..}}`. Who comes back, or is too far behind, is
//! given everything anew, in place of what it has.

use super::board::{self, Source};
use crate::alerting::{Alerting, Watch};
use crate::event::Time;
use crate::http::alerts::{Asked, View};
use crate::http::endpoint::Call;
use crate::http::error::ApiError;
use crate::pipeline::Pipeline;
use axum::body::Body;
use axum::extract::ws::Utf8Bytes;
use axum::http::Response;
use serde::Serialize;
use tokio::task::JoinHandle;

#[derive(Serialize)]
struct All<'a> {
    r#type: &'static str,
    sequence: u64,
    data: Vec<View<'a>>,
}

#[derive(Serialize)]
struct One<'a> {
    r#type: &'static str,
    sequence: u64,
    at: Time,
    change: &'static str,
    data: View<'a>,
}

/// What one client is shown.
struct Alerts {
    alerting: Alerting,
    pipeline: Pipeline,
    asked: Asked,
    sequence: u64,
    stage: Stage,
}

enum Stage {
    /// Everything is to be shown.
    Begin,
    /// Everything is being collected.
    Collect(JoinHandle<Watch>),
    /// It was.
    Follow(Watch),
}

/// `GET /api/v1/monitoring/ws/alerts`.
pub(in crate::http) async fn alerts(call: Call) -> Result<Response<Body>, ApiError> {
    let asked = Asked::read_for_stream(&call)?;
    let (alerting, pipeline) = (call.state.alerting.clone(), call.state.pipeline.clone());
    let source = Alerts { alerting, pipeline, asked, sequence: 0, stage: Stage::Begin };
    board::show(call, source, "GET /api/v1/monitoring/alerts").await
}

impl Source for Alerts {
    async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            match &mut self.stage {
                Stage::Begin => {
                    let (alerting, pipeline) = (self.alerting.clone(), self.pipeline.clone());
                    let watch = move || alerting.watch(pipeline.now());
                    self.stage = Stage::Collect(tokio::task::spawn_blocking(watch));
                }
                Stage::Collect(task) => {
                    let mut watch = task.await.ok()?;
                    self.sequence = watch.sequence;
                    let wanted = watch.alerts.iter().filter(|it| self.asked.wants(it));
                    let data = wanted.map(View::from).collect();
                    let text = text(&All { r#type: "alerts", sequence: self.sequence, data });
                    watch.alerts = Vec::new();
                    self.stage = Stage::Follow(watch);
                    return text;
                }
                Stage::Follow(watch) => {
                    let Some(moved) = watch.next().await else {
                        self.stage = Stage::Begin;
                        continue;
                    };
                    self.sequence = moved.sequence;
                    if self.asked.wants(&moved.alert) {
                        return text(&One {
                            r#type: "alert",
                            sequence: moved.sequence,
                            at: moved.at,
                            change: moved.what.as_str(),
                            data: View::from(&moved.alert),
                        });
                    }
                }
            }
        }
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.sequence)
    }
}

fn text(message: &impl Serialize) -> Option<Utf8Bytes> {
    serde_json::to_string(message).ok().map(Utf8Bytes::from)
}
