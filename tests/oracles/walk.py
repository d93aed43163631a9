"""The random walk step by step: loops over superpixels, borders, peaks and groups, one solve at a time."""

from __future__ import annotations

import math

import cv2
import numpy as np


def connections(graph, settings):
    """W, float64 [K, K]."""
    W = np.zeros((graph.count, graph.count))
    for (i, j), border, boundary in zip(graph.edges.tolist(), graph.border, graph.boundary, strict=True):
        colour = math.dist(graph.lab[i].tolist(), graph.lab[j].tolist())
        weight = (
            border * math.exp(-boundary / settings.boundary_scale) * math.exp(-colour / settings.lab_scale)
        )
        W[i, j] = W[j, i] = weight
    return W


def absorb(prior, graph, settings):
    """Where walkers stop, by simulating the walk until nothing moves (no linear solve)."""
    W = connections(graph, settings)
    u = settings.restart * graph.sizes.astype(float)
    F = np.zeros(len(u))
    for _ in range(200_000):
        F_next = (u * prior + W @ F) / (u + W.sum(axis=1))
        if np.abs(F_next - F).max() < 1e-13:
            return F_next
        F = F_next
    raise AssertionError("the walk did not settle")


def priors(class_maps, graph, settings):
    """Y, float64 [K, 1 + C]."""
    height, width = graph.labels.shape
    upsampled = [cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in class_maps]
    Y = np.zeros((graph.count, 1 + len(class_maps)))
    for k in range(graph.count):
        exponentials = [1.0]
        for m, dense in zip(class_maps, upsampled, strict=True):
            relative = dense[graph.labels == k].mean(dtype=np.float64) / m.max()
            exponentials.append(math.exp((relative - settings.foreground_level) / settings.foreground_scale))
        Y[k] = np.array(exponentials) / sum(exponentials)
    return Y


def mask_priors(mask_logits, classes, settings):
    """Y, float64 [K, 1 + n], from a mask head's logits [K, 1 + C] for classes that are present."""
    Y = np.zeros((len(mask_logits), 1 + len(classes)))
    for k, logits in enumerate(mask_logits.tolist()):
        exponentials = [math.exp(logits[0] + settings.background)]
        exponentials += [math.exp(logits[1 + c]) for c in classes]
        Y[k] = np.array(exponentials) / sum(exponentials)
    return Y


def saddle(class_map, a, b) -> float:
    """Highest level at which a and b are connected (8 neighbours) among the cells at or above it."""
    for level in sorted(set(class_map.ravel().tolist()), reverse=True):
        _, parts = cv2.connectedComponents((class_map >= level).astype(np.uint8), connectivity=8)
        if parts[tuple(a)] and parts[tuple(a)] == parts[tuple(b)]:
            return level
    raise AssertionError("a map is connected at its minimum")


def group(class_map, positions, responses, mass, settings):
    """Union of pairs that lie on one object, int [P]."""
    groups = list(range(len(positions)))
    for i in range(len(positions)):
        for j in range(i):
            overlap = sum(math.sqrt(p * q) for p, q in zip(mass[i], mass[j], strict=True))
            level = saddle(class_map, positions[i], positions[j]) / min(responses[i], responses[j])
            distance = math.dist(positions[i].tolist(), positions[j].tolist())
            if settings.peak_similarity * overlap + level - distance / settings.peak_distance > 0:
                groups = [groups[j] if g == groups[i] else g for g in groups]
    order = list(dict.fromkeys(groups))
    return [order.index(g) for g in groups]


def masses(evidence):
    """Share of each PRM in each superpixel, [P, K]."""
    graph = evidence.graph
    mass = np.zeros((len(evidence.peaks), graph.count))
    height, width = graph.labels.shape
    for p, prm in enumerate(evidence.prms):
        dense = cv2.resize(prm, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float64)
        for k in range(graph.count):
            mass[p, k] = dense[graph.labels == k].sum() / dense.sum()
    return mass


def beliefs(evidence, settings):
    """Y and F of the background and of the classes that have peaks, [K, 1 + n] each."""
    classes = sorted(set(evidence.peaks[:, 0].tolist()))
    if evidence.mask_logits is None:
        Y = priors(evidence.class_maps[classes], evidence.graph, settings.walk)
    else:
        Y = mask_priors(evidence.mask_logits, classes, settings.walk)
    return Y, np.stack([absorb(Y[:, n], evidence.graph, settings.walk) for n in range(Y.shape[1])], axis=1)


def peak_region(evidence, settings, peak):
    """Weight of each superpixel for what one peak retrieves alone, list of K."""
    classes = sorted(set(evidence.peaks[:, 0].tolist()))
    belief = beliefs(evidence, settings)[1][:, 1 + classes.index(evidence.peaks[peak, 0])]
    density = [m / size for m, size in zip(masses(evidence)[peak], evidence.graph.sizes, strict=True)]
    return [math.sqrt(f * d / max(density)) for f, d in zip(belief, density, strict=True)]


def instances(evidence, settings):
    """List of (class_id, score, best peak, members, peaks), in order of class and group."""
    graph, walk = evidence.graph, settings.walk
    mass = masses(evidence)
    classes = sorted(set(evidence.peaks[:, 0].tolist()))
    Y, F = beliefs(evidence, settings)
    region = F.argmax(axis=1)

    found = []
    for n, c in enumerate(classes):
        own = np.flatnonzero(evidence.peaks[:, 0] == c)
        best_response = evidence.peak_scores[own].max()
        own = own[[evidence.peak_scores[p] >= walk.group_ratio * best_response for p in own]]
        groups = np.array(
            group(evidence.class_maps[c], evidence.peaks[own, 1:], evidence.peak_scores[own], mass[own], walk)
        )
        density = np.stack([mass[own][groups == g].mean(axis=0) for g in range(groups.max() + 1)])
        split = []
        for g in range(groups.max() + 1):
            total = density.sum(axis=0)
            r = np.where(total > 0, density[g] / np.where(total > 0, total, 1), 1 / len(density))
            split.append(absorb(Y[:, 1 + n] * r, graph, walk))
        strength = evidence.class_maps[c].max() + evidence.class_scores[c]
        for g in range(groups.max() + 1):
            member = (region == 1 + n) & (np.argmax(split, axis=0) == g)
            peaks = own[groups == g]
            best = peaks[evidence.peak_scores[peaks].argmax()]
            score = strength - (evidence.peak_scores[own].max() - evidence.peak_scores[best])
            for place, part in enumerate(parts(member, graph, walk.least_part)):
                found.append((c, float(score), int(best), part, [] if place else peaks.tolist()))
    return found


def parts(member, graph, least):
    """Connected parts of a union of superpixels by flooding, the largest first, without small ones."""
    left = set(np.flatnonzero(member).tolist())
    found = []
    while left:
        part, waiting = set(), {min(left)}
        while waiting:
            k = waiting.pop()
            part.add(k)
            near = {j for i, j in graph.edges.tolist() if i == k} | {
                i for i, j in graph.edges.tolist() if j == k
            }
            waiting |= near & left - part
        left -= part
        found.append(np.isin(np.arange(graph.count), list(part)))
    found.sort(key=lambda part: -graph.sizes[part].sum())
    return [
        part
        for place, part in enumerate(found)
        if place == 0 or graph.sizes[part].sum() > least * graph.sizes.sum()
    ]
