//! Work on images by threads of one core each.
//!
//! Every thread takes the next image, and runs networks on a rayon pool of its own with one thread. Results are put back in the order of
//! the images, so nothing depends on the number of threads; and the time of a forward pass is that of one core.

use crate::error::{Error, Result};
use crate::output::note;
use crate::progress::bar;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

/// Runs `work(state, index)` for every index below `count`, on `threads` threads that each have a `state`. Returns the results in order, and the states.
///
/// # Errors
/// The error of the lowest index that failed; work stops soon after the first failure.
pub fn for_each<S: Send, R: Send>(
    threads: usize,
    count: usize,
    label: &str,
    state: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize) -> Result<R> + Sync,
) -> Result<(Vec<R>, Vec<S>)> {
    let progress = bar(count, label);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::with_capacity(count));
    let worker = || -> Result<S> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let mut state = state()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count || failed.load(Ordering::Relaxed) {
                return Ok(state);
            }
            let result = pool.install(|| work(&mut state, index));
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            // A poisoned lock means that another thread panicked, which ends the program anyway.
            if let Ok(mut results) = results.lock() {
                results.push((index, result));
            }
            progress.inc(1);
        }
    };
    let states = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.clamp(1, count.max(1))).map(|_| scope.spawn(worker)).collect();
        let join =
            |handle: ScopedJoinHandle<'_, _>| handle.join().unwrap_or_else(|panic| resume_unwind(panic));
        handles.into_iter().map(join).collect::<Result<Vec<S>>>()
    });
    progress.finish_and_clear();
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(index, _)| *index);
    let values = results.into_iter().map(|(_, result)| result).collect::<Result<Vec<R>>>()?;
    Ok((values, states?))
}

/// Turns a bad image into `None` and counts it, if `skip_bad`.
///
/// # Errors
/// The error itself, if it is not about an image or `skip_bad` is false.
pub fn skip_bad<T>(result: Result<T>, skip_bad: bool) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ Error::Image { .. }) if skip_bad => {
            note(format_args!("skipped: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let (results, states) = for_each(3, 20, "test", || Ok(()), |(), index| Ok(index)).unwrap();
        assert_eq!(results, (0..20).collect::<Vec<_>>());
        assert_eq!(states.len(), 3);
    }

    #[test]
    fn the_first_error_is_reported() {
        let fail = |(): &mut (), index: usize| match index {
            0..4 => Ok(()),
            _ => Err(Error::AllBad { count: index }),
        };
        let error = for_each(2, 20, "test", || Ok(()), fail).err().unwrap();
        assert!(matches!(error, Error::AllBad { count: 4 }), "{error}");
    }

    #[test]
    #[should_panic(expected = "image 3")]
    fn a_panic_is_not_lost() {
        let work = |(): &mut (), index: usize| {
            assert_ne!(index, 3, "image 3");
            Ok(())
        };
        let _ = for_each(2, 8, "test", || Ok(()), work);
    }
}
