/* Platt scaling, as chexnet.metrics.platt. */

const EDGE = 2 ** -23;

/** Return the calibrated probability of a finding, or of its threshold.
 *
 * @param probability 0..1.
 * @param scaling {slope, offset}, applied to the logit.
 */
export function calibrate(probability, { slope, offset }) {
  const clipped = Math.min(1 - EDGE, Math.max(EDGE, probability));
  return 1 / (1 + Math.exp(-(slope * (Math.log(clipped) - Math.log1p(-clipped)) + offset)));
}
