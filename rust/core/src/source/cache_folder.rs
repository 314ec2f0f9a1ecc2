//! Where rowmill keeps what it can make again.

use std::ffi::OsString;
use std::path::PathBuf;

/// The cache folder of this user, from the environment.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder_from(|name| std::env::var_os(name))
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = path("ROWMILL_CACHE") {
        return Some(own);
    }
    let cache = path("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    let cache = cache.or_else(|| if cfg!(windows) { path("LOCALAPPDATA") } else { None });
    let cache = cache.or_else(|| path("HOME").map(|home| home.join(".cache")));
    cache.map(|folder| folder.join("rowmill"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_folder_follows_the_environment() {
        type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);
        let cases: &[Case] = &[
            (&[("ROWMILL_CACHE", "/r"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/r")),
            (&[("ROWMILL_CACHE", ""), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/rowmill")),
            (&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], Some("/h/.cache/rowmill")),
            (&[], None),
        ];
        if cfg!(unix) {
            for (variables, wanted) in cases {
                let folder = folder_from(|name| {
                    variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
                });
                assert_eq!(folder.as_deref(), wanted.map(Path::new));
            }
        }
    }
}
