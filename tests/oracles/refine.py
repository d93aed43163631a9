"""Choosing proposals for regions one pair at a time, on sets of superpixels."""

from __future__ import annotations

import math

from tests.oracles.walk import peak_region


def refine(found, evidence, settings):
    """List of (class_id, score, best peak, proposal), best first, and the instance of each peak.

    Args:
        found: What the walk found, each with a region.
        evidence: The frame.
        settings: ``refine`` and ``nms_iou``.
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

    candidates = []
    for c, raw, peak, weights in wanted:
        t = settings.refine.tightness
        inside = [area(s, weights) for s in proposals]
        total = area(range(len(sizes)), weights)
        fits = [(1 + t) * a / (total + t * area(s, whole)) for a, s in zip(inside, proposals, strict=True)]
        values = [f - settings.refine.rank * place / len(proposals) for place, f in enumerate(fits)]
        place = max(range(len(values)), key=values.__getitem__)
        score = raw + settings.refine.agreement * math.log(max(fits[place], 1e-3))
        score += settings.refine.area * math.log(area(proposals[place], whole) / sum(sizes))
        candidates.append((c, score, peak, place))

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
    return kept, [-1 if owner < 0 else winner[owner] for owner in owners]
