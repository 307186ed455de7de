//! What happens to every request, whatever its route.

use super::Compat;
use super::State;
use super::error::ApiError;
use super::gate::Admitted;
use super::instruments::{Metrics, RouteMetrics};
use super::push;
use super::routes::{Rendering, Route, routes};
use crate::tokens::Identity;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::service::TowerToHyperService;
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    net::IpAddr,
    sync::Arc,
};

/// A request on its way to a handler.
pub(super) struct Call {
    pub(super) state: Arc<State>,
    pub(super) identity: Identity,
    /// How the path that was asked for wants the answer.
    pub(super) rendering: Rendering,
    pub(super) uri: Uri,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Tells the connection from others.
    pub(super) connection: u64,
    /// Where it comes from.
    pub(super) peer: Option<IpAddr>,
    /// Where the connection is to be had, if the client wants it for something else.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// Marks an answer that ends only with the server: a drain does not wait for its client to read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// The connection that a request came over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) peer: Option<IpAddr>,
}

/// A route under one of its paths.
struct Endpoint {
    route: &'static Route,
    rendering: Rendering,
    metrics: Arc<RouteMetrics>,
    /// Whether what is wrong is said in plain text.
    plain: bool,
    /// What the Pushgateway's own counter calls it.
    counted: Option<&'static str>,
}

/// All endpoints of one path.
struct PathEntry {
    path: &'static str,
    /// Whether what is wrong is said in plain text.
    plain: bool,
    endpoints: Vec<(&'static Method, Endpoint)>,
    allow: HeaderValue,
    unmatched: Arc<RouteMetrics>,
    state: Arc<State>,
}

/// All that can be asked for. A handle: clones share everything.
#[derive(Clone)]
pub struct Surface {
    /// By path. Most requests find theirs here, which costs a third of what the router does.
    exact: Arc<HashMap<String, Arc<PathEntry>>>,
    /// Pushes: their paths have any number of segments, and slashes that mean something.
    pushes: Option<Arc<PathEntry>>,
    /// Whether a push may be without a job, at `/metrics` and below. Default no.
    jobless: bool,
    /// What stands before every path. Default nothing.
    prefix: Arc<str>,
    /// The paths with parameters, and what answers for all others.
    router: TowerToHyperService<Router>,
}

impl Surface {
    /// Answers one request.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        connection: Connection,
    ) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let mut request = request.map(Body::new);
        if !self.prefix.is_empty() {
            if request.uri().path() == &*self.prefix {
                // The links of the page are relative: without the slash they would lead elsewhere.
                let to = format!("{}/", self.prefix);
                return push::moved(request.method(), &to, request.uri().query());
            }
            match without_prefix(request.uri(), &self.prefix) {
                Some(it) => *request.uri_mut() = it,
                None => return push::not_found(),
            }
        }
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let jobless = self.jobless && !reads && crate::push::is_jobless_push(path);
        let pushes = self.pushes.as_ref().filter(|_| jobless || crate::push::is_push(path));
        match self.exact.get(path).filter(|_| !jobless).or(pushes) {
            Some(entry) => entry.answer(request, connection).await,
            None => match self.by_pattern(request, connection).await {
                Ok(it) => it,
                Err(never) => match never {},
            },
        }
    }
}

/// `uri` without the prefix of all routes; nothing if it has another.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix)?;
    match rest.as_bytes().first() {
        Some(b'/') => rest.parse().ok(),
        Some(b'?') | None => format!("/{rest}").parse().ok(),
        Some(_) => None,
    }
}

impl Surface {
    async fn by_pattern(
        &self,
        mut request: Request<Body>,
        connection: Connection,
    ) -> Result<Response<Body>, Infallible> {
        request.extensions_mut().insert(connection);
        self.router.call(request).await
    }
}

impl From<Router> for Surface {
    fn from(router: Router) -> Self {
        Self {
            exact: Arc::default(),
            pushes: None,
            jobless: false,
            prefix: "".into(),
            router: TowerToHyperService::new(router),
        }
    }
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface").field("paths", &self.exact.len()).finish_non_exhaustive()
    }
}

/// The surface over the route table.
pub(super) fn surface(state: &Arc<State>, metrics: &Metrics) -> Surface {
    let unmatched = Arc::new(metrics.route("unmatched", "any"));
    let mut paths = BTreeMap::<&'static str, Vec<(&'static Method, Endpoint)>>::new();
    for route in routes() {
        for method in route.methods {
            let metrics = Arc::new(metrics.route(route.path, name(method)));
            for (path, rendering) in route.paths() {
                let (plain, counted) =
                    (push::answers_plainly(path), push::handler_name(path, method));
                let metrics = metrics.clone();
                let endpoint = Endpoint { route, rendering, metrics, plain, counted };
                paths.entry(path).or_default().push((method, endpoint));
            }
        }
    }
    let (mut exact, mut pushes, mut router) = (HashMap::new(), None, Router::new());
    for (path, endpoints) in paths {
        let allow = allow(endpoints.iter().map(|(it, _)| *it));
        let (state, unmatched) = (state.clone(), unmatched.clone());
        let plain = push::answers_plainly(path);
        let entry = Arc::new(PathEntry { path, plain, endpoints, allow, unmatched, state });
        if path.starts_with(PUSHES) {
            pushes = Some(entry);
            continue;
        }
        if !path.contains('{') {
            let path = if path == METRICS { &entry.state.config.push.telemetry_path } else { path };
            exact.insert(path.to_owned(), entry);
            continue;
        }
        let handler = move |request: Request<Body>| {
            let entry = entry.clone();
            let connection = request.extensions().get().copied().unwrap_or_default();
            async move { entry.answer(request, connection).await }
        };
        router = router.route(path, axum::routing::any(handler));
    }
    let exact = Arc::new(exact);
    let known = exact.clone();
    let prefix: Arc<str> = state.config.push.route_prefix.as_str().into();
    let before = prefix.clone();
    let router = router.fallback(move |method: Method, uri: Uri| async move {
        let mut observation = unmatched.observe();
        let path = uri.path();
        let serves = |it: &&str| known.get(*it).is_some_and(|it| it.serves(&method));
        let slashless = path.strip_suffix('/').filter(serves);
        let response = match slashless {
            // The client knows the path with what stands before it.
            Some(it) => push::moved(&method, &format!("{before}{it}"), uri.query()),
            None if METRICS_AND_CONTROL.iter().any(|it| path.starts_with(it)) => push::not_found(),
            None => no_such_path(path).into_response(),
        };
        observation.answer(response.status().as_u16());
        response
    });
    Surface {
        exact,
        pushes,
        jobless: state.config.push.compat != Compat::Pushgateway,
        prefix,
        ..router.into()
    }
}

const METRICS: &str = "/metrics";
const PUSHES: &str = "/metrics/job";
/// Below these, what is not there is told in the words that clients of the Pushgateway know.
const METRICS_AND_CONTROL: [&str; 3] = ["/metrics", "/-/", "/api/v1/admin/"];

/// A method as a label.
fn name(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let names = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    known.iter().zip(names).find(|(it, _)| *it == method).map_or("other", |(_, name)| name)
}

/// A method as a label of the Pushgateway's metrics.
fn lower(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// The value of `Allow`, sorted.
fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> HeaderValue {
    let mut names = Vec::new();
    for method in methods {
        names.push(method.as_str());
        if *method == Method::GET {
            names.push("HEAD");
        }
    }
    names.push("OPTIONS");
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn no_such_path(path: &str) -> ApiError {
    let path: String = path.chars().take(100).collect();
    ApiError::not_found(format!(
        "there is nothing at {path}; events go to /api/v1/events, and /openapi.json lists all paths"
    ))
}

impl PathEntry {
    fn serves(&self, method: &Method) -> bool {
        self.endpoint(method).is_some()
    }

    fn endpoint(&self, method: &Method) -> Option<&Endpoint> {
        let serves = |it: &Method| it == method || (*it == Method::GET && *method == Method::HEAD);
        self.endpoints.iter().find(|(it, _)| serves(it)).map(|(_, endpoint)| endpoint)
    }

    async fn answer(&self, request: Request<Body>, connection: Connection) -> Response<Body> {
        let method = request.method();
        match self.endpoint(method) {
            Some(endpoint) => endpoint.call(&self.state, request, connection).await,
            None if *method == Method::OPTIONS => self.options(request.headers()),
            None => self.not_allowed(method),
        }
    }

    fn not_allowed(&self, method: &Method) -> Response<Body> {
        let mut observation = self.unmatched.observe();
        observation.answer(StatusCode::METHOD_NOT_ALLOWED.as_u16());
        if self.plain {
            return push::not_allowed(self.path, method, &self.allow);
        }
        let allowed = self.allow.to_str().unwrap_or_default();
        let message = format!("{method} is not allowed here; allowed are {allowed}");
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
            .with_header(header::ALLOW, self.allow.clone())
            .into_response()
    }

    /// Says which methods there are and, to a sender of CloudEvents that asks first (the web hook
    /// specification's handshake), that it may send.
    fn options(&self, headers: &HeaderMap) -> Response<Body> {
        let mut observation = self.unmatched.observe();
        if self.plain {
            observation.answer(StatusCode::OK.as_u16());
            return push::options(self.path, &self.allow);
        }
        observation.answer(StatusCode::NO_CONTENT.as_u16());
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(header::ALLOW, self.allow.clone());
        if let Some(origin) = headers.get("webhook-request-origin") {
            response.headers_mut().insert("webhook-allowed-origin", origin.clone());
            response.headers_mut().insert("webhook-allowed-rate", HeaderValue::from_static("*"));
        }
        response
    }
}

impl Endpoint {
    async fn call(
        &self,
        state: &Arc<State>,
        request: Request<Body>,
        connection: Connection,
    ) -> Response<Body> {
        let mut observation = self.metrics.observe();
        let method = lower(request.method());
        let response = match self.handle(state, request, connection).await {
            Ok(it) => it,
            Err(it) if self.plain => it.into_plain_response(),
            Err(it) => it.into_response(),
        };
        let code = response.status().as_u16();
        observation.answer(code);
        if let Some(handler) = self.counted {
            state.instruments.answered(handler, code, method);
        }
        response
    }

    async fn handle(
        &self,
        state: &Arc<State>,
        request: Request<Body>,
        Connection { number: connection, peer }: Connection,
    ) -> Result<Response<Body>, ApiError> {
        let (mut parts, body) = request.into_parts();
        let now = state.pipeline.now();
        let what = (&parts.method, &parts.uri);
        let admitted = state.gate.admit(self.route.access, what, &parts.headers, now)?;
        let upgrade = parts.extensions.remove();
        let Admitted { identity, .. } = &admitted;
        let call = Call {
            state: state.clone(),
            identity: identity.clone(),
            rendering: self.rendering,
            uri: parts.uri,
            method: parts.method,
            headers: parts.headers,
            body,
            connection,
            peer,
            upgrade,
        };
        (self.route.handler)(call).await
    }
}

impl Call {
    /// The name of the token that was sent, for the log.
    pub(super) fn by(&self) -> &str {
        self.identity.name.as_deref().unwrap_or("nobody")
    }

    /// The value of a header, if it is text.
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }

    /// The last segment of the path, decoded: what stands for `{id}`.
    pub(super) fn last_segment(&self) -> String {
        self.segment_from_end(0)
    }

    /// The last segment of the path but one, decoded: what stands for `{id}` in `{id}/verb`.
    pub(super) fn last_segment_but_one(&self) -> String {
        self.segment_from_end(1)
    }

    /// The segment that has so many behind it, decoded.
    pub(super) fn segment_from_end(&self, behind: usize) -> String {
        let last = self.uri.path().rsplit('/').nth(behind).unwrap_or_default();
        percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned()
    }
}
