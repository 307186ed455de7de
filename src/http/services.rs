//! `/api/v1/services`: the services that write logs, and who owns them.

use super::body;
use super::endpoint::Call;
use super::error::ApiError;
use super::logs::LOG;
use super::reply;
use crate::services::{Service, ServiceError};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct List<'a> {
    services: Vec<View<'a>>,
}

#[derive(Serialize)]
struct View<'a> {
    id: u64,
    name: &'a str,
    team_owner: Option<&'a str>,
}

/// The body of a change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// `null` for nobody. Required, so that a body of something else changes nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    team_owner: Option<String>,
}

impl<'a> From<&'a Service> for View<'a> {
    fn from(it: &'a Service) -> Self {
        Self { id: it.id, name: &it.name, team_owner: it.team_owner.as_deref() }
    }
}

/// `GET /api/v1/services`.
pub(super) async fn list(call: Call) -> Result<Response<Body>, ApiError> {
    let (journal, services) = (call.state.pipeline.journal().clone(), call.state.services.clone());
    let work = tokio::task::spawn_blocking(move || {
        // Logs that were sent as events, or whose sender hung up, are noted now.
        for kind in journal.kinds().iter().filter(|it| *it.event_type == *LOG) {
            services.note(&kind.source)?;
        }
        let services = services.list();
        let list = List { services: services.iter().map(View::from).collect() };
        Ok(reply::json(StatusCode::OK, &list))
    });
    work.await.map_err(ApiError::internal)?
}

/// `PUT /api/v1/services/{name}`.
pub(super) async fn put(mut call: Call) -> Result<Response<Body>, ApiError> {
    let name = call.last_segment();
    let mut incoming = body::read(&mut call).await?;
    incoming.decompress()?;
    let Change { team_owner } = serde_json::from_slice(&incoming.bytes).map_err(|it| {
        let message = format!("{it}; a right body is {{\"team_owner\": \"Payments Team\"}}");
        ApiError::bad_request("invalid_json", message)
    })?;
    let services = call.state.services.clone();
    let work = tokio::task::spawn_blocking(move || services.set_owner(&name, team_owner));
    let service = work.await.map_err(ApiError::internal)??;
    tracing::info!(service = service.name, by = call.by(), "the owner of a service was set");
    Ok(reply::json(StatusCode::OK, &View::from(&service)))
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Name => Self::parameter("name or team_owner", error),
            ServiceError::TooMany => Self::new(StatusCode::CONFLICT, "conflict", error),
            ServiceError::Damaged(_) | ServiceError::Store(_) => Self::internal(error),
        }
    }
}
