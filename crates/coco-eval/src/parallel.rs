//! Independent pieces of work, on one thread or on rayon's.
//!
//! Results never depend on the number of threads: pieces share nothing, and come back in order.

/// The results of `work` for each `i` below `count`, in order; on the threads of rayon's current pool.
#[cfg(feature = "rayon")]
pub(crate) fn map<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
    if rayon::current_num_threads() < 2 {
        return (0..count).map(work).collect();
    }
    // pieces differ a lot in size, so none is tied to another
    (0..count).into_par_iter().with_max_len(1).map(work).collect()
}

/// The results of `work` for each `i` below `count`, in order.
#[cfg(not(feature = "rayon"))]
pub(crate) fn map<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    (0..count).map(work).collect()
}
