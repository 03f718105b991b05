//! Threads that stay awake during a run.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

/// Does `work` on the current rayon pool, whose idle threads look for shares of it until it is done instead of falling asleep.
///
/// A network is a hundred short parallel loops one after the other. A thread sleeps after a few microseconds without work, and takes as
/// long as a small loop to wake up.
pub(crate) fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 {
        return work();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        // Dropped at the end of this closure, by a panic too: or else the scope would wait for its helpers for ever.
        let _end = End(&done);
        for _ in 0..helpers {
            scope.spawn(|_| {
                while !done.load(Ordering::Relaxed) {
                    if rayon::yield_now() != Some(rayon::Yield::Executed) {
                        spin_loop();
                    }
                }
            });
        }
        work()
    })
}

/// Tells helpers to stop when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    #[test]
    fn work_is_done_inside_and_outside_of_pools_and_within_other_work() {
        let sum = || (0..1000u64).into_par_iter().sum::<u64>();
        assert_eq!(awake(sum), 499_500);
        for threads in [1, 2, 5] {
            let sums: u64 = pool(threads).install(|| (0..50).into_par_iter().map(|_| awake(sum)).sum());
            assert_eq!(sums, 50 * 499_500);
        }
    }

    #[test]
    fn a_panic_ends_the_wait() {
        let panicked = || std::panic::catch_unwind(|| awake(|| panic!("on purpose"))).is_err();
        assert!(pool(3).install(panicked));
    }
}
