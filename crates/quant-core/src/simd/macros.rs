//! What variants for several instruction sets are written with; names are those of the modules that use them.

/// Compiles functions of `portable` once more, with the instructions of the given features.
macro_rules! recompile {
    ($features:literal: $($name:ident($($arg:ident: $kind:ty),*);)*) => {
        $(
            #[target_feature(enable = $features)]
            pub(super) fn $name($($arg: $kind),*) {
                portable::$name($($arg),*);
            }
        )*
    };
}

/// Calls `$part::<pixels>(first pixel, first channel, ...)` for every part, of at most six pixels, of a tile.
macro_rules! parts {
    ($part:ident, $pixels:expr, $channels:expr, $step:expr, ($($arg:expr),*)) => {
        for channel in (0..$channels.min(TILE_CHANNELS)).step_by($step) {
            for pixel in (0..$pixels).step_by(6) {
                match $pixels - pixel {
                    1 => $part::<1>(pixel, channel, $($arg),*),
                    2 => $part::<2>(pixel, channel, $($arg),*),
                    3 => $part::<3>(pixel, channel, $($arg),*),
                    4 => $part::<4>(pixel, channel, $($arg),*),
                    5 => $part::<5>(pixel, channel, $($arg),*),
                    _ => $part::<6>(pixel, channel, $($arg),*),
                }
            }
        }
    };
}
