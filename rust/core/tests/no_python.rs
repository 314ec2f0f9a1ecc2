//! The core needs no Python: neither its manifest nor anything it depends on names pyo3.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Name of each package in the lock file, with the names that it depends on (all versions of a name as one).
fn dependencies_by_name(lock: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
    for block in lock.split("[[package]]").skip(1) {
        let mut quoted = block.split('"').skip(1).step_by(2);
        let name = quoted.next().expect("a package starts with its name").to_owned();
        let listed = block.split_once("dependencies = [").map_or("", |(_, rest)| rest);
        let listed = listed.split_once(']').map_or("", |(names, _)| names);
        let names = listed.split('"').skip(1).step_by(2).filter_map(|entry| entry.split(' ').next());
        graph.entry(name).or_default().extend(names.map(str::to_owned));
    }
    graph
}

/// Everything that `root` reaches, itself included.
fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, root: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            open.extend(graph.get(&name).into_iter().flatten().cloned());
        }
    }
    seen
}

fn names_python(name: &str) -> bool {
    name.starts_with("pyo3") || name.contains("python")
}

#[test]
fn the_manifest_names_no_pyo3() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    assert!(text.contains("arrow-ipc"), "this is not the manifest that was meant:\n{text}");
    assert!(!text.contains("pyo3"), "rowmill-core must not depend on pyo3:\n{text}");
}

#[test]
fn nothing_the_core_depends_on_is_python() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let graph = dependencies_by_name(&fs::read_to_string(lock).unwrap());
    let of_the_core = reachable(&graph, "rowmill-core");
    let of_the_binding = reachable(&graph, "rowmill-python");

    // The walk must be able to find it, or its silence about the core would mean nothing.
    assert!(of_the_binding.iter().any(|name| names_python(name)));
    assert!(of_the_core.contains("cfg-if"), "the walk does not reach indirect dependencies");
    let found: Vec<_> = of_the_core.iter().filter(|name| names_python(name)).collect();
    assert!(found.is_empty(), "rowmill-core depends on {found:?}");
}
