//! Opening: what the index knows is taken from it, the rest is walked on all cores and stored.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf, absolute};
use std::thread;

use arrow_schema::SchemaRef;

use super::bytes::path_from_bytes;
use super::codec::{self, Index};
use super::contents::{Manifest, OpenReport};
use super::identity;
use super::listing::Listing;
use super::parallel;
use super::record::{Record, WalkedShard, schema_key};
use super::store::{self, Loaded, Store, StoreLock};
use super::walk::{BareTokens, Shards, Walk};
use crate::panics::guarded;
use crate::source::remote::is_remote;
use crate::source::{FileIdentity, RemoteFile};
use crate::{Error, Result};

/// What to do with a shard that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The open fails with the shard's error.
    #[default]
    Raise,
    /// The shard is left out and reported.
    Skip,
}

/// How to open; the default uses the user's index folder and every core.
#[derive(Clone, Debug)]
pub struct ManifestOptions {
    /// Where indexes lie; `None` means `$ROWMILL_CACHE/index`, or `rowmill/index` in the user's cache folder.
    pub index_dir: Option<PathBuf>,
    /// Without it every file is walked and nothing is stored.
    pub use_index: bool,
    /// Walks every file again, even those that look unchanged.
    pub force_reindex: bool,
    /// Threads that walk; `None` means one a core.
    pub num_threads: Option<usize>,
    /// What to do with damaged shards.
    pub on_error: OnError,
    /// Whether files that no first bytes tell of are streams of token ids.
    pub bare_tokens: bool,
    /// What the caller knows of objects on a network: nobody is asked for their sizes and versions.
    pub known: HashMap<PathBuf, FileIdentity>,
}

impl Default for ManifestOptions {
    fn default() -> Self {
        Self {
            index_dir: None,
            use_index: true,
            force_reindex: false,
            num_threads: None,
            on_error: OnError::Raise,
            bare_tokens: false,
            known: HashMap::new(),
        }
    }
}

impl Manifest {
    /// Opens files in the order given: what a stored index knows is taken from it, the rest is walked and stored.
    ///
    /// ```no_run
    /// use rowmill_core::manifest::{Manifest, ManifestOptions, resolve};
    ///
    /// let shards = resolve(&["data/*.arrow"])?;
    /// let manifest = Manifest::open(&shards.files, &ManifestOptions::default())?;
    /// println!("{} rows in {} shards", manifest.num_rows(), manifest.num_shards());
    /// # Ok::<(), rowmill_core::Error>(())
    /// ```
    pub fn open(files: &[PathBuf], options: &ManifestOptions) -> Result<Self> {
        Self::open_with(files, options, if options.bare_tokens { &BareTokens } else { &Shards })
    }

    /// Opens what [`super::resolve`] found; folders named `key=value` make columns of Parquet shards.
    pub fn open_listed(listing: &Listing, options: &ManifestOptions) -> Result<Self> {
        let mut manifest = Self::open(&listing.files, options)?;
        let here =
            |root: &PathBuf| if root.as_os_str().is_empty() { PathBuf::from(".") } else { root.clone() };
        let place = |root: &PathBuf| if is_remote(root) { Ok(root.clone()) } else { absolute(here(root)) };
        let roots: Vec<PathBuf> = listing.roots.iter().filter_map(|root| place(root).ok()).collect();
        manifest.add_partitions(&roots);
        Ok(manifest)
    }

    /// Opens files whose formats `walk` knows, in the order given.
    pub fn open_with(files: &[PathBuf], options: &ManifestOptions, walk: &dyn Walk) -> Result<Self> {
        let mut opening = Opening::new(files, options, walk)?;
        let store = opening.store();
        let loaded = opening.load(store.as_ref());
        let index = opening.decode(loaded.as_ref());
        let found = opening.find(index.as_ref());
        if found.places.iter().all(Option::is_some) {
            return opening.assemble(index.as_ref(), &found, HashMap::new());
        }
        drop(loaded);
        opening.walk_and_store(store.as_ref())
    }
}

/// A file that is there.
struct Present {
    path: PathBuf,
    identity: FileIdentity,
}

/// Decoded schemas by key; `None` for what does not decode to its own key.
type Schemas = HashMap<u128, Option<SchemaRef>>;

/// For each present file the record of the index that holds for it.
struct Found {
    places: Vec<Option<usize>>,
    schemas: Schemas,
}

struct Opening<'a> {
    options: &'a ManifestOptions,
    walk: &'a dyn Walk,
    num_threads: usize,
    /// A walk that began after this is as fresh as one of our own.
    since_ns: i64,
    present: Vec<Present>,
    /// Kept as errors: when nothing is left, the first of them is the answer.
    skipped: Vec<(PathBuf, Error)>,
    warnings: Vec<String>,
    /// Whether the index folder has been complained about: once is enough.
    is_index_out_of_reach: bool,
}

impl<'a> Opening<'a> {
    fn new(files: &[PathBuf], options: &'a ManifestOptions, walk: &'a dyn Walk) -> Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut opening = Self {
            options,
            walk,
            num_threads: options.num_threads.unwrap_or_else(cores).max(1),
            since_ns: identity::now_ns(),
            present: Vec::with_capacity(files.len()),
            skipped: Vec::new(),
            warnings: Vec::new(),
            is_index_out_of_reach: false,
        };
        for (path, identity) in identity::of_all(files, &options.known, opening.num_threads) {
            match identity {
                Ok(identity) => opening.present.push(Present { path, identity }),
                Err(error) => opening.skip(path, error)?,
            }
        }
        Ok(opening)
    }

    fn skip(&mut self, path: PathBuf, error: Error) -> Result<()> {
        match self.options.on_error {
            OnError::Raise => Err(error),
            OnError::Skip => {
                self.skipped.push((path, error));
                Ok(())
            }
        }
    }

    fn store(&mut self) -> Option<Store> {
        if !self.options.use_index {
            return None;
        }
        let Some(folder) = self.options.index_dir.clone().or_else(store::default_folder) else {
            self.warnings.push("no cache folder is known, so no index is kept; set ROWMILL_CACHE".to_owned());
            return None;
        };
        let mut parents: Vec<&Path> =
            self.present.iter().filter_map(|present| present.path.parent()).collect();
        parents.dedup();
        Some(Store::new(folder, parents))
    }

    fn load(&mut self, store: Option<&Store>) -> Option<Loaded> {
        let store = store?;
        match store.load() {
            Ok(loaded) => loaded,
            Err(error) => {
                self.warn_out_of_reach(store, &error);
                None
            }
        }
    }

    fn decode<'l>(&mut self, loaded: Option<&'l Loaded>) -> Option<Index<'l>> {
        match loaded?.index() {
            Ok(index) => Some(index),
            Err(problem) => {
                let warning =
                    format!("the stored index is damaged or foreign ({problem}); it is built again");
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
                None
            }
        }
    }

    /// What of the index still holds for the files as they are now.
    fn find(&self, index: Option<&Index<'_>>) -> Found {
        let mut found = Found { places: Vec::with_capacity(self.present.len()), schemas: HashMap::new() };
        let Some(index) = index else {
            found.places.resize(self.present.len(), None);
            return found;
        };
        let mut by_path: Option<HashMap<&[u8], usize>> = None;
        let mut expected = 0;
        for present in &self.present {
            let path = present.path.as_os_str().as_encoded_bytes();
            // Records stand in the order of the last open, so the next one is nearly always it.
            let place = if expected < index.len() && index.path(expected) == path {
                Some(expected)
            } else {
                let all = || (0..index.len()).map(|shard| (index.path(shard), shard)).collect();
                by_path.get_or_insert_with(all).get(path).copied()
            };
            expected = place.map_or(expected, |place| place + 1);
            found
                .places
                .push(place.filter(|&place| self.holds(present, &index.record(place), &mut found.schemas)));
        }
        found
    }

    fn holds(&self, present: &Present, record: &Record<'_>, schemas: &mut Schemas) -> bool {
        let is_fresh = record.walked_ns >= self.since_ns || !self.options.force_reindex;
        let decode = || {
            let schema = self.walk.decode_schema(&present.path, record.format, record.schema_message).ok()?;
            (schema_key(&schema) == record.schema_key).then_some(schema)
        };
        is_fresh
            && record.is_current(present.identity, self.since_ns)
            && schemas.entry(record.schema_key).or_insert_with(decode).is_some()
    }

    fn walk_and_store(mut self, store: Option<&Store>) -> Result<Manifest> {
        let lock = store.and_then(|store| self.lock(store));
        // Another rank may have walked while we waited.
        let loaded = self.load(store);
        let index = self.decode(loaded.as_ref());
        let found = self.find(index.as_ref());
        let walked = self.walk_missing(&found);
        let is_news = lock.is_some() && walked.values().any(Result::is_ok);
        let bytes = is_news.then(|| self.encode(index.as_ref(), &found, &walked));
        let manifest = self.assemble(index.as_ref(), &found, walked);
        // Windows does not replace a file that is mapped.
        drop(loaded);
        let saved = match (store, &lock, bytes) {
            (Some(store), Some(lock), Some(bytes)) => store.save(lock, &bytes),
            _ => Ok(()),
        };
        let mut manifest = manifest?;
        if let (Err(error), Some(store), false) = (saved, store, self.is_index_out_of_reach) {
            manifest.add_warning(no_index(store, &error));
        }
        Ok(manifest)
    }

    fn lock(&mut self, store: &Store) -> Option<StoreLock> {
        store.lock().map_err(|error| self.warn_out_of_reach(store, &error)).ok()
    }

    fn warn_out_of_reach(&mut self, store: &Store, error: &std::io::Error) {
        if !std::mem::replace(&mut self.is_index_out_of_reach, true) {
            self.warnings.push(no_index(store, error));
        }
    }

    /// Walks each file once that no record holds for, by its path.
    fn walk_missing(&self, found: &Found) -> HashMap<&Path, Result<WalkedShard>> {
        let mut seen = HashSet::new();
        let missing = self.present.iter().zip(&found.places).filter(|(_, place)| place.is_none());
        let pending: Vec<&Present> =
            missing.map(|(present, _)| present).filter(|present| seen.insert(&present.path)).collect();
        let is_far = pending.iter().any(|present| is_remote(&present.path));
        let num_threads = if is_far { self.num_threads.max(identity::REQUESTS) } else { self.num_threads };
        let results = parallel::map(&pending, num_threads, |present| self.walk_one(present));
        pending.iter().map(|present| present.path.as_path()).zip(results).collect()
    }

    fn walk_one(&self, present: &Present) -> Result<WalkedShard> {
        let walked_ns = identity::now_ns();
        let walk = || {
            if is_remote(&present.path) {
                self.walk.walk_remote(RemoteFile::new(&present.path, present.identity).as_ref())
            } else {
                self.walk.walk(&present.path)
            }
        };
        let walked = guarded(walk).unwrap_or_else(|text| {
            let path = present.path.display();
            Err(Error::Internal(format!("reading the headers of {path} panicked: {text}")))
        })?;
        WalkedShard::try_new(&present.path, present.identity, walked_ns, walked)
    }

    /// All that is known now: this open's shards in their order, then others of the same folders that still exist.
    fn encode(
        &self,
        index: Option<&Index<'_>>,
        found: &Found,
        walked: &HashMap<&Path, Result<WalkedShard>>,
    ) -> Vec<u8> {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut records = Vec::with_capacity(self.present.len());
        for (present, &place) in self.present.iter().zip(&found.places) {
            if !seen.insert(present.path.as_os_str().as_encoded_bytes()) {
                continue;
            }
            let fresh = walked.get(present.path.as_path()).and_then(|result| result.as_ref().ok());
            let stored = index.zip(place).map(|(index, place)| index.record(place));
            records.extend(fresh.map(WalkedShard::record).or(stored));
        }
        let others = index.into_iter().flat_map(|index| (0..index.len()).map(|shard| index.record(shard)));
        // Of an object on a network only its server could tell.
        let exists = |path: &[u8]| {
            path_from_bytes(path).is_some_and(|path| is_remote(&path) || path.symlink_metadata().is_ok())
        };
        records.extend(others.filter(|record| !seen.contains(record.path) && exists(record.path)));
        codec::encode(&records)
    }

    fn assemble(
        &self,
        index: Option<&Index<'_>>,
        found: &Found,
        mut walked: HashMap<&Path, Result<WalkedShard>>,
    ) -> Result<Manifest> {
        let mut report = OpenReport { num_walked: walked.len(), ..OpenReport::default() };
        let mut failed = self.take_failures(&mut walked)?;
        let mut shards = Vec::with_capacity(self.present.len());
        for (present, &place) in self.present.iter().zip(&found.places) {
            let fresh = walked.get(present.path.as_path()).and_then(|result| result.as_ref().ok());
            let stored = index.zip(place).map(|(index, place)| index.record(place));
            report.num_reused += usize::from(stored.is_some());
            if let Some(record) = stored.or(fresh.map(WalkedShard::record)) {
                shards.push((present.path.clone(), record));
            }
        }
        report.skipped = self.skipped.iter().map(|(path, error)| (path.clone(), error.to_string())).collect();
        report.skipped.extend(failed.iter().map(|(path, error)| (path.clone(), error.to_string())));
        report.warnings.clone_from(&self.warnings);
        if shards.is_empty() && !failed.is_empty() {
            return Err(failed.swap_remove(0).1);
        }
        Manifest::assemble(
            shards,
            |path, record| {
                let fresh = walked.get(path).and_then(|result| result.as_ref().ok()).map(WalkedShard::schema);
                let stored = || found.schemas.get(&record.schema_key).and_then(Option::as_ref);
                // Every record comes from one of the two.
                fresh
                    .or_else(stored)
                    .cloned()
                    .ok_or_else(|| Error::Internal("a shard without schema".to_owned()))
            },
            report,
        )
    }

    /// Damaged shards in the order of the files: the first of them as an error, or all of them to be skipped.
    fn take_failures(
        &self,
        walked: &mut HashMap<&Path, Result<WalkedShard>>,
    ) -> Result<Vec<(PathBuf, Error)>> {
        let mut failed = Vec::new();
        for present in &self.present {
            let path = present.path.as_path();
            if walked.get(path).is_some_and(Result::is_err)
                && let Some(Err(error)) = walked.remove(path)
            {
                match self.options.on_error {
                    OnError::Raise => return Err(error),
                    OnError::Skip => failed.push((present.path.clone(), error)),
                }
            }
        }
        Ok(failed)
    }
}

fn no_index(store: &Store, error: &std::io::Error) -> String {
    let path = store.path();
    format!(
        "cannot use the index {}: {error}; until it can, every open reads all headers again",
        path.display()
    )
}
