"""What others found by searching NAS-RobBench-201 on CIFAR-10."""

from __future__ import annotations

METHOD = "genetic"
DATASET = "cifar10"

JUDGES = ("robbench/clean", "robbench/fgsm@8/255", "robbench/pgd@8/255", "robbench/autoattack")

SOURCE = "RobustNasBench, genetic algorithm with 3,000 evaluations, population 20, 31 runs"

FOUND: dict[str, tuple[float, float, float, float]] = {
    "robbench/clean": (0.7956, 0.5334, 0.4779, 0.4438),
    "published/synflow": (0.7706, 0.5248, 0.4737, 0.4348),
    "published/nwot": (0.7638, 0.5173, 0.4704, 0.4334),
    "published/l2_norm": (0.7409, 0.4933, 0.4501, 0.4147),
    "published/jacov": (0.7277, 0.4754, 0.4338, 0.3956),
    "published/epe_nas": (0.6971, 0.4546, 0.4165, 0.3771),
    "published/zen": (0.6288, 0.3878, 0.3618, 0.3207),
    "published/plain": (0.6241, 0.3999, 0.3759, 0.3319),
    "published/snip": (0.4823, 0.3625, 0.3336, 0.2939),
    "published/grasp": (0.4475, 0.3477, 0.3171, 0.2839),
    "published/grad_norm": (0.4238, 0.3385, 0.3058, 0.2799),
    "published/fisher": (0.4238, 0.3385, 0.3058, 0.2799),
}
"""What guided -> accuracies, in the order of JUDGES, of what was found."""
