"""Choosing proposals for regions one pair at a time, on sets of superpixels."""

from __future__ import annotations

import math


def refine(found, evidence, settings):
    """List of (class_id, score, best peak, proposal), best first, and the instance of each peak.

    Args:
        found: Retrieved instances, each with a region.
        evidence: The frame.
        settings: ``refine`` and ``nms_iou``.
    """
    sizes = evidence.graph.sizes.tolist()
    proposals = [set(member.nonzero()[0].tolist()) for member in evidence.gallery.members]

    def area(region):
        return sum(sizes[k] for k in region)

    candidates = []
    for n, member in enumerate(found.members):
        region = set(member.nonzero()[0].tolist())
        t = settings.refine.tightness
        fits = [(1 + t) * area(region & s) / (area(region) + t * area(s)) for s in proposals]
        values = [f - settings.refine.rank * place / len(proposals) for place, f in enumerate(fits)]
        place = max(range(len(values)), key=values.__getitem__)
        score = found.scores[n] + settings.refine.agreement * math.log(max(fits[place], 1e-3))
        score += settings.refine.area * math.log(area(proposals[place]) / sum(sizes))
        candidates.append((n, float(score), place))

    kept, winner = [], {}
    for n, score, place in sorted(candidates, key=lambda candidate: -candidate[1]):
        for position, (_, _, other, by) in enumerate(kept):
            mine, its = proposals[place], proposals[other]
            same_class = found.class_ids[n] == found.class_ids[by]
            if same_class and area(mine & its) / area(mine | its) > settings.nms_iou:
                winner[n] = position
                break
        else:
            winner[n] = len(kept)
            kept.append((int(found.class_ids[n]), score, place, n))
    instances = [(c, score, int(found.peak_indices[n]), place) for c, score, place, n in kept]
    owners = [-1 if owner < 0 else winner[owner] for owner in found.owners.tolist()]
    return instances, owners
