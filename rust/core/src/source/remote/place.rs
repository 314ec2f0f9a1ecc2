//! Where an object is asked for: its URL as it stands, a signed one, or the place that its server sent us to before.

use std::path::Path;
use std::time::{Duration, Instant};

use url::Url;

use super::address::is_in_store;
use super::lock::Lock;
use super::settings::whole_of;
use super::stores;
use super::trouble::Trouble;

/// Places that servers send us to are signed for an hour or so; an early look at the first server costs one request.
const KEPT: Duration = Duration::from_secs(20 * 60);

/// The place of one object.
#[derive(Debug, Default)]
pub(super) struct Place {
    known: Lock<Option<Known>>,
}

struct Known {
    url: Url,
    until: Instant,
    /// The tag by which the server there knows the version that was checked at the first server.
    twin: Option<String>,
}

/// A signed URL is no text for anybody.
impl std::fmt::Debug for Known {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Known").finish_non_exhaustive()
    }
}

/// Where to ask.
pub(super) struct Found {
    pub url: Url,
    /// Whether it may have expired: then asking anew may help.
    pub is_borrowed: bool,
    pub twin: Option<String>,
}

impl Place {
    /// Where to ask for the object at `path`.
    pub fn find(&self, path: &Path) -> Result<Found, Trouble> {
        let known = self
            .known
            .lock()
            .as_ref()
            .filter(|known| known.until > Instant::now())
            .map(|known| Found { url: known.url.clone(), is_borrowed: true, twin: known.twin.clone() });
        if let Some(found) = known {
            return Ok(found);
        }
        if is_in_store(path) {
            let url = stores::sign(path)?;
            *self.known.lock() = Some(Known { url: url.clone(), until: Instant::now() + KEPT, twin: None });
            return Ok(Found { url, is_borrowed: false, twin: None });
        }
        let text = whole_of(path).or_else(|| path.to_str()).unwrap_or_default();
        let url = Url::parse(text).map_err(|error| Trouble::Unsupported(format!("no URL ({error})")))?;
        Ok(Found { url, is_borrowed: false, twin: None })
    }

    /// Notes where an answer came from.
    pub fn came_from(&self, asked: &Url, url: &Url, tag: Option<String>) {
        if asked != url {
            *self.known.lock() = Some(Known { url: url.clone(), until: Instant::now() + KEPT, twin: tag });
        }
    }

    /// Forgets where the object was found.
    pub fn forget(&self) {
        *self.known.lock() = None;
    }
}
