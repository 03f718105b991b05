//! Threads that stay awake during a run.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rounds without work, a few microseconds, after which a helper lets other programs have the core.
const PATIENCE: u32 = 100;

/// Does `work` on the current rayon pool, whose idle threads look for work until it is done instead of falling asleep.
///
/// A network is a hundred short parallel loops one after the other. A thread sleeps after a few microseconds without work, and takes as
/// long as a small loop to wake up.
///
/// Nobody waits for the helpers: one that does other work of the pool ends when that is done, and one that the thread of `work` itself
/// finds, while it waits for something, ends at once.
pub(crate) fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 {
        return work();
    }
    // Enters the pool, if this thread is not of one.
    rayon::scope(|_| {
        let end = End(Arc::new(AtomicBool::new(false)));
        let origin = rayon::current_thread_index();
        for _ in 0..helpers {
            let done = Arc::clone(&end.0);
            rayon::spawn(move || help(&done, origin));
        }
        work()
    })
}

/// Looks for work until there is no need any more.
fn help(done: &AtomicBool, origin: Option<usize>) {
    let mut idle = 0;
    while !done.load(Ordering::Relaxed) && rayon::current_thread_index() != origin {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            idle = 0;
        } else if idle < PATIENCE {
            idle += 1;
            spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Tells helpers to stop when it goes, after a panic too.
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    fn sum() -> u64 {
        (0..1000u64).into_par_iter().sum()
    }

    /// Fails instead of hanging.
    fn ends(work: impl FnOnce() + Send + 'static) {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            work();
            let _ = sender.send(());
        });
        receiver.recv_timeout(Duration::from_secs(60)).expect("it ends");
    }

    #[test]
    fn work_is_done_inside_and_outside_of_pools_and_within_other_work() {
        assert_eq!(awake(sum), 499_500);
        for threads in [1, 2, 5] {
            let sums: u64 = pool(threads).install(|| (0..50).into_par_iter().map(|_| awake(sum)).sum());
            assert_eq!(sums, 50 * 499_500);
        }
    }

    #[test]
    fn a_panic_ends_the_help() {
        let panicked = || std::panic::catch_unwind(|| awake(|| panic!("on purpose"))).is_err();
        assert!(pool(3).install(panicked));
    }

    #[test]
    fn work_may_wait_for_anything() {
        let busy = || std::thread::sleep(Duration::from_millis(50));
        ends(move || {
            let (one, two) = (pool(2), pool(2));
            one.install(|| {
                rayon::spawn(busy);
                awake(|| two.install(sum))
            });
        });
        ends(move || {
            pool(2).install(|| {
                rayon::spawn(busy);
                awake(|| (rayon::yield_now(), sum()))
            });
        });
        ends(move || {
            #[allow(deprecated)]
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(2).breadth_first().build().expect("a pool");
            pool.install(|| {
                rayon::spawn(busy);
                awake(sum)
            });
        });
    }
}
