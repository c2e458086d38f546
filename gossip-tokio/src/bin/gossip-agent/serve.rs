//! Connections to an agent: how many there may be, how long they may say nothing, and whom they may come from. Knows
//! streams and headers; must not know what is asked.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use futures_util::future::{Either, select};
use gossip_tokio::gossip_core::Config;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use crate::commands::Code;
use crate::control::Listening;
use crate::http::{refused, router};
use crate::state::Agent;

/// Connections that are open at a time, in all; others wait until one of these ends.
const CONNECTIONS: usize = 128;
/// Time that a connection may take to send its request.
const SILENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Pause after accepting has failed: out of file descriptors, it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Time that the end of the agent waits for answers that are under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Admission of those who ask.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Whoever can connect: the control socket is the user's alone.
    Trusted,
    /// Programs on this machine, but no page of another site in its browsers.
    Loopback,
    /// Whoever has the token.
    Token(String),
}

/// All connections of an agent.
pub(crate) struct Server {
    room: Arc<Semaphore>,
    ending: watch::Sender<bool>,
}

impl Default for Server {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(CONNECTIONS)), ending: watch::channel(false).0 }
    }
}

/// A socket that others connect to.
pub(crate) trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for Listening {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Server {
    /// Answers whoever connects to `listener`, from now on.
    pub(crate) fn serve<L: Accept>(&self, agent: Arc<Agent>, listener: Arc<L>, access: Access, config: &Config) {
        // Text of a value in hex digits, and what is around it.
        let largest = 2 * config.limits.max_value.max(config.max_datagram) + (64 << 10);
        let router = router(agent, largest).layer(middleware::from_fn_with_state(Arc::new((access, largest)), admit));
        let (room, ending) = (Arc::clone(&self.room), self.ending.subscribe());
        tokio::spawn(async move {
            while let Ok(place) = Arc::clone(&room).acquire_owned().await {
                match listener.accept().await {
                    Ok(stream) => {
                        let (service, ending) = (router.clone(), ending.clone());
                        tokio::spawn(async move {
                            if let Err(error) = converse(stream, service, ending).await {
                                tracing::debug!(%error, "a connection broke");
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "nobody can connect");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }

    /// Waits until the answers that are under way are written, for a while; nobody new is answered.
    pub(crate) async fn finish(&self) {
        self.ending.send_replace(true);
        // Those who accept hold a place each.
        let all = self.room.acquire_many(CONNECTIONS as u32 - 2);
        let _ = tokio::time::timeout(PATIENCE, all).await;
        self.room.close();
    }
}

/// Answers all requests of a connection; when the agent ends, the one that is under way.
async fn converse<S>(stream: S, router: Router, mut ending: watch::Receiver<bool>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(HEAD);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ends = async { drop(ending.wait_for(|ending| *ending).await) };
    if let Either::Left((end, _)) = select(connection.as_mut(), pin!(ends)).await {
        return end;
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Refuses requests of those who may not ask, and bodies that are too large or do not come.
async fn admit(State(rules): State<Arc<(Access, usize)>>, request: Request, next: Next) -> Response {
    let (access, largest) = &*rules;
    if let Err((status, reason)) = permitted(access, request.method(), request.uri().path(), request.headers()) {
        let mut response = refused(status, &Code::Invalid.says(reason));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        return response;
    }
    let too_large = || {
        let reason = format!("a body of more than {largest} bytes");
        refused(StatusCode::PAYLOAD_TOO_LARGE, &Code::Invalid.says(reason))
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > *largest as u64) {
        return too_large();
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(SILENCE, to_bytes(body, *largest)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => too_large(),
        Err(_) => {
            let reason = format!("the body did not come within {SILENCE:?}");
            refused(StatusCode::REQUEST_TIMEOUT, &Code::Invalid.says(reason))
        }
    }
}

fn permitted(
    access: &Access,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match access {
        Access::Trusted => Ok(()),
        // The page asks its user for the token; whether a node is healthy is no secret.
        Access::Token(_) if matches!(path, "/" | "/page.js" | "/page.css" | "/health" | "/ready") => Ok(()),
        Access::Token(token) => {
            let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
            match is_same(given.as_bytes(), token.as_bytes()) {
                true => Ok(()),
                false => Err((StatusCode::UNAUTHORIZED, "this needs the token: Authorization: Bearer TOKEN")),
            }
        }
        Access::Loopback => {
            let host = text(header::HOST).unwrap_or_default();
            // A name of another site may lead here.
            if !is_loopback(host) {
                return Err((StatusCode::FORBIDDEN, "ask 127.0.0.1, [::1] or localhost, or start with a token"));
            }
            let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
            let reads = matches!(*method, Method::GET | Method::HEAD);
            match origin {
                Some(origin) if !reads && origin != host => {
                    Err((StatusCode::FORBIDDEN, "pages of other sites may not do that"))
                }
                _ => Ok(()),
            }
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Takes as long whatever the first difference is.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_kept_out() {
        let asks = |method: Method, pairs: &[(header::HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            permitted(&Access::Loopback, &method, "/v1/leave", &headers).is_ok()
        };
        let (host, origin) = (header::HOST, header::ORIGIN);
        for here in ["127.0.0.1:7380", "localhost:7380", "[::1]:7380", "localhost"] {
            assert!(asks(Method::POST, &[(host.clone(), here)]), "{here}: a program");
            assert!(asks(Method::POST, &[(host.clone(), here), (origin.clone(), &format!("http://{here}"))]));
        }
        let elsewhere = (origin.clone(), "http://example.org");
        assert!(!asks(Method::POST, &[(host.clone(), "127.0.0.1:7380"), elsewhere.clone()]));
        assert!(!asks(Method::POST, &[(host.clone(), "127.0.0.1:7380"), (origin, "null")]));
        assert!(asks(Method::GET, &[(host.clone(), "127.0.0.1:7380"), elsewhere]), "which it cannot read");
        for name in ["rebound.example.org:7380", "", "localhost.example.org", "10.0.0.1:7380"] {
            assert!(!asks(Method::GET, &[(host.clone(), name)]), "{name}");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        let asks = |path: &str, given: &str| {
            let headers = [(header::AUTHORIZATION, given.parse().unwrap())].into_iter().collect();
            permitted(&Access::Token("secret".into()), &Method::GET, path, &headers).map_err(|(status, _)| status)
        };
        assert_eq!(asks("/v1/info", "Bearer secret"), Ok(()));
        assert_eq!(asks("/health", ""), Ok(()));
        for wrong in ["", "secret", "Bearer ", "Bearer secre", "Bearer secret2", "Basic secret"] {
            assert_eq!(asks("/v1/info", wrong), Err(StatusCode::UNAUTHORIZED), "{wrong}");
        }
    }
}
