//! Average precision of whole networks, for selections.

use crate::analysis::job::Job;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::run::{Options, evaluate};
use ptq::Fusion;

/// AP of each network on the images of the job.
///
/// # Errors
/// As [`evaluate`]; [`Error::NoObject`] where there is nothing to find.
pub fn average_precisions(job: &Job, networks: &[&Network]) -> Result<Vec<f64>> {
    let options = Options {
        nms: job.nms_params(),
        threads: job.threads,
        skip_bad: job.settings.skip_bad,
        samples: 0,
        profile: false,
    };
    let evaluated = evaluate(networks, &job.dataset, &job.category_ids, &options)?;
    let ap = evaluated.outcomes.iter().map(|outcome| defined(job, outcome.summary.ap));
    ap.collect()
}

/// AP of the float network.
///
/// # Errors
/// As [`average_precisions`].
pub fn float_average_precision(job: &Job) -> Result<f64> {
    let network = job.model.network(job.float(Fusion::Fused)?, job.settings.size)?;
    Ok(average_precisions(job, &[&network])?[0])
}

/// An average precision, unless it is undefined.
///
/// # Errors
/// [`Error::NoObject`].
pub fn defined(job: &Job, ap: f64) -> Result<f64> {
    let annotations = job.settings.annotations.clone();
    if ap < 0.0 { Err(Error::NoObject { annotations }) } else { Ok(ap) }
}
