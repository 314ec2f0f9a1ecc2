//! How much memory there is.

/// Bytes of memory that this process may use, as far as the system tells.
pub(crate) fn memory_bytes() -> f64 {
    #[cfg(unix)]
    {
        let pages = rustix::param::page_size();
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        let total: f64 = kib.map_or(f64::MAX, |kib: f64| kib * 1024.0);
        let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<f64>().ok());
        total.min(limit.unwrap_or(f64::MAX)).max(pages as f64)
    }
    #[cfg(not(unix))]
    {
        f64::MAX
    }
}
