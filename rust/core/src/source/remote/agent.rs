//! The HTTP client: connections that are kept, and trust in certificates.

use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error as HttpError};

use super::settings::Limits;
use super::trouble::Trouble;

/// Connections that wait for the next request are given up after this: servers close them after a minute or so.
const IDLE: Duration = Duration::from_secs(20);

/// A client under these limits. Redirects are ours to follow, and statuses ours to read.
pub(super) fn new_agent(limits: &Limits) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("rowmill/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(limits.timeout))
        .timeout_send_request(Some(limits.timeout))
        .timeout_recv_response(Some(limits.timeout))
        .timeout_per_read(Some(limits.timeout))
        .max_idle_connections(limits.connections)
        .max_idle_connections_per_host(limits.connections)
        .max_idle_age(IDLE)
        .tls_config(tls());
    config.build().new_agent()
}

/// The usual authorities, or those of the file that the environment names, as in networks with one of their own.
fn tls() -> TlsConfig {
    let named =
        ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().filter_map(std::env::var_os);
    let pem = named.filter(|path| !path.is_empty()).find_map(|path| std::fs::read(path).ok());
    let certificates: Vec<Certificate<'static>> =
        pem.iter().flat_map(|pem| parse_pem(pem)).filter_map(certificate).collect();
    let roots = if certificates.is_empty() { RootCerts::WebPki } else { certificates.into_iter().into() };
    TlsConfig::builder().root_certs(roots).build()
}

fn certificate(item: Result<PemItem<'static>, HttpError>) -> Option<Certificate<'static>> {
    match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    }
}

/// What a failed request means. The client's own texts may hold the URL, so only those are taken that cannot.
pub(super) fn trouble_of(error: &HttpError) -> Trouble {
    match error {
        HttpError::Io(error) => trouble_of_io(error),
        HttpError::Timeout(what) => Trouble::passing(format!("no answer in time ({what})")),
        HttpError::HostNotFound => Trouble::passing("its host is not found; is the network up?"),
        HttpError::ConnectionFailed => Trouble::passing("no connection"),
        HttpError::Protocol(_) => Trouble::passing("the answer is no HTTP"),
        HttpError::Rustls(error) => Trouble::Unsupported(format!(
            "no trusted connection ({error}); SSL_CERT_FILE names the certificates of a network's own authority"
        )),
        HttpError::Tls(problem) => Trouble::Unsupported(format!("no trusted connection ({problem})")),
        HttpError::InvalidProxyUrl | HttpError::ConnectProxyFailed(_) => {
            Trouble::passing("the proxy that the environment names does not answer")
        }
        _ => Trouble::Unsupported("the request could not be made".to_owned()),
    }
}

/// The same of an error while a body was read.
pub(super) fn trouble_of_io(error: &std::io::Error) -> Trouble {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<HttpError>())
        && !matches!(inner, HttpError::Io(_))
    {
        return trouble_of(inner);
    }
    Trouble::passing(format!("the connection failed ({})", error.kind()))
}
