//! From the outcomes of a category to its curves.

use crate::curve::{Curve, Hit, Outcome, curve_from_hits, least_hits};
use crate::evaluation::{CategoryCurves, Evaluation};
use crate::outcomes::{CategoryOutcomes, Outcomes};
use crate::parallel;
use crate::params::EvalParams;

impl Outcomes {
    /// Forms precision, recall and scores at every threshold, category, area range and cap.
    #[must_use]
    pub fn accumulate(&self) -> Evaluation {
        let curves = parallel::map(self.categories.len(), |k| accumulate(&self.categories[k], &self.params));
        let mut evaluation =
            Evaluation::undefined(self.full_params(), self.category_ids.clone(), curves.len());
        curves.iter().enumerate().for_each(|(k, curves)| evaluation.set_category(k, curves));
        evaluation
    }
}

/// The curves of one category. Where nothing is to be found the entries stay -1, undefined.
pub(crate) fn accumulate(found: &CategoryOutcomes, params: &EvalParams) -> CategoryCurves {
    let areas = params.area_ranges.len();
    let mut curves = CategoryCurves::undefined(params);
    curves.positives = found.positives(areas);
    let least: Vec<Vec<u64>> =
        curves.positives.iter().map(|&n| least_hits(n, &params.recall_thresholds)).collect();
    let thresholds = params.iou_thresholds.len();
    let relevant = relevant_steps(found, areas, thresholds);
    let (mut curve, mut hits) = (Curve::default(), Vec::new());
    for (m, &cap) in params.max_detections.iter().enumerate() {
        let ranking = Ranking::new(found, &relevant, cap);
        for (area, least) in least.iter().enumerate() {
            if curves.positives[area] == 0 {
                continue;
            }
            for t in 0..thresholds {
                collect_hits(&ranking.steps[area], found.of_steps(area, t, thresholds), &mut hits);
                curve_from_hits(&hits, ranking.top_score, curves.positives[area], least, &mut curve);
                curves.set(t, area, m, &curve);
            }
        }
    }
    curves
}

/// For each area range, whether a step counts at any threshold.
fn relevant_steps(found: &CategoryOutcomes, areas: usize, thresholds: usize) -> Vec<Vec<bool>> {
    let of_area = |area| {
        let mut relevant = vec![false; found.steps.len()];
        for t in 0..thresholds {
            let outcomes = found.of_steps(area, t, thresholds);
            relevant.iter_mut().zip(outcomes).for_each(|(any, &o)| *any |= o != Outcome::Ignored);
        }
        relevant
    };
    (0..areas).map(of_area).collect()
}

/// A detection whose outcome depends on the IoU threshold.
struct Step {
    number: u32,
    /// Detections ranked before it that are false positives at every threshold.
    plain_false_positives: u32,
    score: f64,
}

/// The ranking at one cap, cut down to what depends on the IoU threshold.
struct Ranking {
    /// By area range.
    steps: Vec<Vec<Step>>,
    top_score: Option<f64>,
}

impl Ranking {
    fn new(found: &CategoryOutcomes, relevant: &[Vec<bool>], cap: usize) -> Self {
        let mut steps: Vec<Vec<Step>> = relevant.iter().map(|_| Vec::new()).collect();
        let mut plain = vec![0_u32; relevant.len()];
        let mut next = 0;
        for (number, &position) in (0_u32..).zip(&found.steps) {
            for at in next..position as usize {
                if (found.ranks[at] as usize) < cap {
                    let inside = found.inside[at];
                    plain.iter_mut().enumerate().for_each(|(a, count)| *count += inside >> a & 1);
                }
            }
            next = position as usize + 1;
            if (found.ranks[position as usize] as usize) < cap {
                let score = found.scores[position as usize];
                for (area, steps) in steps.iter_mut().enumerate() {
                    if relevant[area][number as usize] {
                        steps.push(Step { number, plain_false_positives: plain[area], score });
                    }
                }
            }
        }
        let top = found.ranks.iter().position(|&rank| (rank as usize) < cap);
        Self { steps, top_score: top.map(|at| found.scores[at]) }
    }
}

/// Replaces `hits` by the true positives at one area range and threshold.
fn collect_hits(steps: &[Step], outcomes: &[Outcome], hits: &mut Vec<Hit>) {
    hits.clear();
    let mut missed = 0;
    for step in steps {
        match outcomes[step.number as usize] {
            Outcome::TruePositive => {
                let false_positives = u64::from(step.plain_false_positives) + missed;
                hits.push(Hit { false_positives, score: step.score });
            }
            Outcome::FalsePositive => missed += 1,
            Outcome::Ignored => {}
        }
    }
}
