//! Object stores: `s3://`, `gs://` and `az://`, configured by the environment as the `object_store` crate reads it.
//!
//! That crate finds credentials, signs URLs and lists; the bytes come over signed URLs as those of any other server do,
//! so that there is one way to retry, to compare versions and to count. Its requests go through our HTTP client.

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path as Key;
use object_store::signer::Signer;
use object_store::{
    ClientOptions, Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreScheme, RetryConfig,
};
use ureq::http::{Method, Request, Response};
use url::Url;

use super::agent::trouble_of;
use super::engine::engine;
use super::grown::Grown;
use super::trouble::Trouble;
use super::version::Known;
use crate::error::Result;
use crate::prefetch::fork_generation;

/// Signatures last longer than a place is kept.
const SIGNED: Duration = Duration::from_secs(60 * 60);

/// A machine that is no cloud's is asked for its credentials in vain.
const RETRY: Duration = Duration::from_secs(10);

/// One bucket, with what it takes to ask for its objects.
enum Bucket {
    S3 { store: AmazonS3, is_public: bool },
    Google { store: GoogleCloudStorage, is_public: bool },
    Azure(MicrosoftAzure),
}

struct Opened {
    generation: u64,
    /// Scheme and bucket.
    name: String,
    bucket: Bucket,
}

impl Bucket {
    fn open(url: &Url, scheme: &ObjectStoreScheme) -> std::result::Result<Self, Trouble> {
        let retry = RetryConfig { max_retries: 2, retry_timeout: RETRY, ..RetryConfig::default() };
        let built = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let is_public = is_set("AWS_SKIP_SIGNATURE");
                let mut builder = AmazonS3Builder::from_env().with_url(url.as_str());
                if is_public {
                    builder = builder.with_access_key_id("public").with_secret_access_key("public");
                }
                let store =
                    builder.with_skip_signature(is_public).with_retry(retry).with_http_connector(Connector);
                store.build().map(|store| Self::S3 { store, is_public })
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let is_public = is_set("GOOGLE_SKIP_SIGNATURE");
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str());
                let store =
                    builder.with_skip_signature(is_public).with_retry(retry).with_http_connector(Connector);
                store.build().map(|store| Self::Google { store, is_public })
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str());
                builder.with_retry(retry).with_http_connector(Connector).build().map(Self::Azure)
            }
            _ => return Err(Trouble::Unsupported(format!("{}:// is no object store", url.scheme()))),
        };
        built.map_err(|error| misconfigured(&error))
    }

    fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::S3 { store, .. } => store,
            Self::Google { store, .. } => store,
            Self::Azure(store) => store,
        }
    }

    /// A URL that anybody may read the object at `key` by, for an hour.
    fn sign(&self, bucket: &str, key: &Key) -> std::result::Result<Url, Trouble> {
        let signed = match self {
            // A bucket that is open for all is asked without a signature.
            Self::S3 { store, is_public } => {
                wait(store.signed_url(Method::GET, key, SIGNED))?.map(|mut url| {
                    url.set_query(url.query().filter(|_| !is_public).map(str::to_owned).as_deref());
                    url
                })
            }
            Self::Google { is_public: true, .. } => {
                let mut url = Url::parse("https://storage.googleapis.com").map_err(|_| no_url())?;
                url.path_segments_mut()
                    .map_err(|()| no_url())?
                    .push(bucket)
                    .extend(key.parts().map(|part| part.as_ref().to_owned()));
                Ok(url)
            }
            Self::Google { store, .. } => wait(store.signed_url(Method::GET, key, SIGNED))?,
            Self::Azure(store) => wait(store.signed_url(Method::GET, key, SIGNED))?,
        };
        signed.map_err(|error| trouble(&error))
    }
}

fn no_url() -> Trouble {
    Trouble::Unsupported("its name makes no URL".to_owned())
}

fn is_set(name: &str) -> bool {
    std::env::var(name)
        .is_ok_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

/// The bucket that a URL lies in, opened once a process, and the key in it.
fn find(text: &str) -> std::result::Result<(&'static Opened, Url, Key), Trouble> {
    static OPENED: Grown<Opened> = Grown::new();
    let url = Url::parse(text).map_err(|error| Trouble::Unsupported(format!("no URL ({error})")))?;
    let (scheme, key) = ObjectStoreScheme::parse(&url).map_err(|_| no_url())?;
    let (name, generation) = (url[..url::Position::BeforePath].to_owned(), fork_generation());
    let known = || OPENED.iter().find(|opened| opened.generation == generation && opened.name == name);
    if known().is_none() {
        let bucket = Bucket::open(&url, &scheme)?;
        OPENED.push(Opened { generation, name: name.clone(), bucket });
    }
    let opened = known().ok_or_else(no_url)?;
    Ok((opened, url, key))
}

/// A signed URL of the object at `path`.
pub(super) fn sign(path: &Path) -> std::result::Result<Url, Trouble> {
    let (opened, url, key) = find(path.to_str().unwrap_or_default())?;
    opened.bucket.sign(url.host_str().unwrap_or_default(), &key)
}

/// The objects below a URL that ends with a slash, with their sizes and tags.
pub fn list(url: &str) -> Result<Vec<(PathBuf, Known)>> {
    let place = PathBuf::from(url);
    let listed = find(url).and_then(|(opened, url, prefix)| {
        let objects = wait(opened.bucket.store().list(Some(&prefix)).try_collect::<Vec<ObjectMeta>>())?;
        Ok((url, objects.map_err(|error| trouble(&error))?))
    });
    let (base, objects) = listed.map_err(|trouble| trouble.into_error(&place))?;
    Ok(objects.into_iter().filter_map(|object| named(&base, object)).collect())
}

fn named(base: &Url, object: ObjectMeta) -> Option<(PathBuf, Known)> {
    let mut url = base.clone();
    let key = object.location.as_ref().split('/').collect::<Vec<_>>();
    url.path_segments_mut().ok()?.clear().extend(key);
    let known = Known { size: object.size, tag: object.e_tag, is_immutable: false };
    Some((PathBuf::from(url.as_str()), known))
}

/// Runs what the crate does without a runtime of its own: nothing goes on when it returns, so a fork finds nothing.
fn wait<T>(future: impl Future<Output = T>) -> std::result::Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Trouble::Unsupported(format!("no runtime ({error})")))?;
    Ok(runtime.block_on(future))
}

/// Nobody was asked yet: another try would find the same.
fn misconfigured(error: &StoreError) -> Trouble {
    Trouble::Unsupported(format!(
        "its store cannot be opened ({}); the store's variables (AWS_*, GOOGLE_*, AZURE_*) say how",
        first_line(error)
    ))
}

/// The cause may quote a request; the first line is the crate's own.
fn first_line(error: &StoreError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn trouble(error: &StoreError) -> Trouble {
    let missing = || Trouble::Missing("there is no such object or bucket".to_owned());
    let denied = || {
        let remedy =
            "the store refuses; give the credentials that its variables name (AWS_*, GOOGLE_*, AZURE_*)";
        Trouble::Denied(remedy.to_owned())
    };
    match error {
        StoreError::NotFound { .. } => missing(),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => denied(),
        // Of a listing the crate tells the status in its text alone.
        StoreError::Generic { source, .. } if has_status(source.as_ref(), &["404"]) => missing(),
        StoreError::Generic { source, .. } if has_status(source.as_ref(), &["401", "403"]) => denied(),
        other => {
            let what = format!("the object store's client says: {}", first_line(other));
            Trouble::Passing { what, wait: None }
        }
    }
}

/// Whether an error says that a server answered with one of these statuses.
fn has_status(error: &(dyn std::error::Error + 'static), statuses: &[&str]) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let said = text.split_once("status code: ").map(|(_, said)| said.to_owned());
        if said.is_some_and(|said| statuses.iter().any(|status| said.starts_with(status))) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Our HTTP client as the crate wants one.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service))
    }
}

struct Service;

impl Debug for Service {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("rowmill's client")
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
        let failed = |trouble: &Trouble| {
            HttpError::new(HttpErrorKind::Connect, std::io::Error::other(format!("{trouble:?}")))
        };
        let engine = engine();
        super::stats::Counters::add(&engine.counters.requests, 1);
        let answer = engine
            .agent()
            .run(Request::from_parts(head, body))
            .map_err(|error| failed(&trouble_of(&error)))?;
        let (head, mut body) = answer.into_parts();
        let bytes =
            body.with_config().limit(64 << 20).read_to_vec().map_err(|error| failed(&trouble_of(&error)))?;
        Ok(Response::from_parts(head, HttpResponseBody::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_store_is_told_so() {
        let error = list("https://host/a/").map(|_| ()).unwrap_err();
        assert!(matches!(error, crate::Error::Unsupported { .. }), "{error:?}");
    }

    #[test]
    fn a_store_that_nobody_configured_is_not_asked_again() {
        let error = sign(Path::new("az://container/a.parquet")).unwrap_err();
        assert!(matches!(&error, Trouble::Unsupported(text) if text.contains("AZURE_*")), "{error:?}");
    }

    #[test]
    fn keys_make_urls_and_come_back() {
        let base = Url::parse("s3://bucket/a/").unwrap();
        let object = ObjectMeta {
            location: Key::from("a/b c/1.parquet"),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 7,
            e_tag: Some("\"x\"".to_owned()),
            version: None,
        };
        let (path, known) = named(&base, object).unwrap();
        assert_eq!(path, Path::new("s3://bucket/a/b%20c/1.parquet"));
        assert_eq!((known.size, known.tag.as_deref()), (7, Some("\"x\"")));
        let (_, key) = ObjectStoreScheme::parse(&Url::parse(path.to_str().unwrap()).unwrap()).unwrap();
        assert_eq!(key.as_ref(), "a/b c/1.parquet");
    }
}
