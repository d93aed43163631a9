"""Choosing proposals for regions one pair at a time, on sets of superpixels."""

from __future__ import annotations

import math

from tests.oracles import spots
from tests.oracles.walk import peak_region

from prm_proposals.evidence import class_strength


def refine(found, evidence, settings):
    """List of (class_id, score, best peak or None, proposal), best first, and the instance of each peak.

    Args:
        found: What the walk found, each with a region.
        evidence: The frame.
        settings: ``refine``, ``spots``, ``walk`` and ``nms_iou``.
    """
    sizes = evidence.graph.sizes.tolist()
    proposals = [set(member.nonzero()[0].tolist()) for member in evidence.gallery.members]

    def area(region, weights):
        return sum(sizes[k] * weights[k] for k in region)

    whole = [1.0] * len(sizes)
    wanted = [
        (int(c), float(score), int(peak), member.astype(float).tolist())
        for c, score, peak, member in zip(
            found.class_ids, found.scores, found.peak_indices, found.members, strict=True
        )
    ]
    owners = found.owners.tolist()
    strength = evidence.peak_strength(settings)
    for peak, (c, _, _) in enumerate(evidence.peaks.tolist()):
        if owners[peak] < 0:
            owners[peak] = len(wanted)
        score = float(strength[peak]) - settings.refine.single_peak
        wanted.append((c, score, peak, peak_region(evidence, settings, peak)))

    refine, spot = settings.refine, settings.spots
    least = -math.inf
    if refine.least_score is not None:
        least = refine.least_score + refine.chance * math.log(len(proposals))

    def score_of(trust, raw, fit, s, belief):
        score = raw + trust.agreement * math.log(max(fit, 1e-3))
        score += trust.area * math.log(area(s, whole) / sum(sizes))
        if belief is not None:
            score += trust.posterior * area(s, belief) / area(s, whole)
        return score

    asked = [(*each, None) for each in wanted]
    for c, region, belief in _spots(evidence, settings):
        if score_of(spot, spot.offset, 1.0, region, belief) > least:
            weights = [math.exp(value) if k in region else 0.0 for k, value in enumerate(belief)]
            asked.append((c, spot.offset, None, weights, belief))

    candidates = []
    for c, raw, peak, weights, belief in asked:
        t = refine.tightness
        inside = [area(s, weights) for s in proposals]
        total = area(range(len(sizes)), weights)
        fits = [(1 + t) * a / (total + t * area(s, whole)) for a, s in zip(inside, proposals, strict=True)]
        values = [f - refine.rank * place / len(proposals) for place, f in enumerate(fits)]
        place = max(range(len(values)), key=values.__getitem__)
        trust = refine if belief is None else spot
        candidates.append((c, score_of(trust, raw, fits[place], proposals[place], belief), peak, place))

    kept, winner = [], {}
    for n in sorted(range(len(candidates)), key=lambda n: -candidates[n][1]):
        c, _, _, place = candidates[n]
        for position, other in enumerate(kept):
            mine, its = proposals[place], proposals[other[3]]
            if c == other[0] and area(mine & its, whole) / area(mine | its, whole) > settings.nms_iou:
                winner[n] = position
                break
        else:
            winner[n] = len(kept)
            kept.append(candidates[n])
    suppressed = {}
    for n in sorted(winner, key=lambda n: candidates[n][1]):
        if candidates[n][2] is not None:
            suppressed[winner[n]] = candidates[n][2]  # the last is the best
    kept = [
        (c, score, suppressed.get(position) if peak is None else peak, place)
        for position, (c, score, peak, place) in enumerate(kept)
        if score > least
    ]
    of_owner = [-1 if owner < 0 else winner[owner] for owner in owners]
    return kept, [-1 if position >= len(kept) else position for position in of_owner]


def _spots(evidence, settings):
    """(class, region, log posterior of the class on each superpixel) of each spot."""
    if evidence.mask_logits is None:
        return []
    strength = class_strength(evidence.class_maps, evidence.class_scores, settings).tolist()
    belief = spots.log_posterior(
        evidence.mask_logits.tolist(), strength, settings.walk.background, settings.spots.prior
    )
    found = spots.find_spots(
        [[math.exp(value) for value in row] for row in belief],
        [value > settings.spots.presence for value in strength],
        evidence.graph.edges.tolist(),
        settings.spots.levels,
        settings.spots.least,
    )
    return [(c, region, belief[c]) for c, _, region in found]
