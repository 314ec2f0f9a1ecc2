//! What names an object: a URL, of which nothing secret is ever written down.

use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, Result};

/// Schemes whose objects are read over a network.
const SCHEMES: [&str; 9] = ["https", "http", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];

/// Parameters that let whoever has them in: they stay in this process's memory.
const SECRET_PARAMETERS: [&str; 15] = [
    "signature",
    "sig",
    "expires",
    "policy",
    "key-pair-id",
    "awsaccesskeyid",
    "googleaccessid",
    "token",
    "access_token",
    "auth_token",
    "api_key",
    "apikey",
    "key",
    "password",
    "secret",
];

/// Whether a path names an object on a network.
pub fn is_remote(path: &Path) -> bool {
    scheme_of(path).is_some()
}

fn scheme_of(path: &Path) -> Option<&str> {
    let (scheme, _) = path.to_str()?.split_once("://")?;
    SCHEMES.contains(&scheme).then_some(scheme)
}

/// Whether a path names an object that a store's own protocol asks for, not plain HTTP.
pub(super) fn is_in_store(path: &Path) -> bool {
    scheme_of(path).is_some_and(|scheme| !scheme.starts_with("http"))
}

/// A URL as it may be written down, and the whole of it where that is more.
#[derive(PartialEq, Eq)]
pub struct Bare {
    /// Without anything secret.
    pub path: PathBuf,
    /// With it.
    pub whole: Option<String>,
}

/// Takes what is secret out of a URL.
///
/// # Errors
/// `InvalidArgument` for what is no URL, and for a name and password in one.
pub fn bare(text: &str) -> Result<Bare> {
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    let shown = shown.rsplit_once('@').map_or(shown, |(_, host)| host);
    let mut url = parse(text).map_err(|problem| Error::InvalidArgument(format!("{shown}: {problem}")))?;
    if !url.username().is_empty() && url.scheme().starts_with("http") || url.password().is_some() {
        return Err(Error::InvalidArgument(format!(
            "{shown}: a name or password in the URL would stand in files and logs; give a token with \
             rowmill.remote.set_token, or put them into ~/.netrc"
        )));
    }
    url.set_fragment(None);
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("x-amz-") || name.starts_with("x-goog-") || SECRET_PARAMETERS.contains(&&*name)
    };
    if !url.query_pairs().any(|(name, _)| is_secret(&name)) {
        return Ok(Bare { path: PathBuf::from(url.as_str()), whole: None });
    }
    let whole = url.to_string();
    url.set_query(None);
    Ok(Bare { path: PathBuf::from(url.as_str()), whole: Some(whole) })
}

fn parse(text: &str) -> std::result::Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("no URL ({error})"))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(format!("URLs of {} are not read", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL names no host".to_owned());
    }
    Ok(url)
}

/// Scheme, host and port, by which credentials are known: nothing of one origin is told to another.
pub fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_files() {
        for (path, is) in [
            ("https://host/a.parquet", true),
            ("s3://bucket/a", true),
            ("hf://datasets/a/b", false),
            ("/https://x", false),
            ("data/x.arrow", false),
            ("C://x", false),
        ] {
            assert_eq!(is_remote(Path::new(path)), is, "{path}");
        }
    }

    #[test]
    fn what_is_secret_is_not_written_down() {
        let plain = bare("https://host/a.parquet?download=1#top").unwrap();
        assert_eq!(plain.path, Path::new("https://host/a.parquet?download=1"));
        assert!(plain.whole.is_none());
        for secret in ["X-Amz-Signature=abc", "a=1&sig=abc", "Key-Pair-Id=abc", "token=abc"] {
            let found = bare(&format!("https://host/a.parquet?{secret}")).unwrap();
            assert_eq!(found.path, Path::new("https://host/a.parquet"));
            assert!(found.whole.unwrap().contains("abc"));
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        for url in
            ["https://user:hunter2@host/a", "https://hunter2@host/a", "http://:hunter2@h/a?token=hunter2"]
        {
            let text = bare(url).map(|_| ()).unwrap_err().to_string();
            assert!(!text.contains("hunter2") && text.contains("netrc"), "{text}");
        }
        assert!(bare("ftp://host/a").is_err());
    }
}
