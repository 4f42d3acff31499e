"""Multinomial logistic regression with an L2 penalty: many problems solved side by side by one L-BFGS."""

import torch
from torch import Tensor

MEMORY = 10  # pairs of steps and gradient changes that L-BFGS keeps
CHUNK_BYTES = 256 * 2**20  # bound on the logits held at a time


def fit_logistic(
    x: Tensor, y: Tensor, classes: int, penalties: Tensor, max_iter: int = 200, tol: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + penalty / 2 |W|^2 for every draw and every penalty; b is not penalised.

    All problems advance together, each with its own step length and history, since one wide matrix product costs far
    less than many thin ones. In scikit-learn's terms a penalty is 1 / (C n).

    Args:
        x: [G, n, d] float, G draws of n rows, standardised (the step lengths assume values of order 1).
        y: [G, n] int64 in 0..classes-1.
        classes: C, the number of classes.
        penalties: [P] float, > 0.
        max_iter: evaluations of the objective.
        tol: a problem is solved when no entry of its gradient exceeds this.

    Returns:
        W [G, P, d, C] and b [G, P, C].
    """
    ridge = penalties.to(x).view(-1, 1).expand(x.shape[2] + 1, -1, 1).clone()  # [d + 1, P, 1]
    ridge[-1] = 0.0
    theta = x.new_zeros(len(x), x.shape[2] + 1, len(penalties), classes)  # the last row is the intercept
    theta = _minimise(lambda theta: _objective(theta, x, y, ridge), theta, max_iter, tol)
    theta = theta.transpose(1, 2)
    return theta[:, :, :-1], theta[:, :, -1]


def _objective(theta: Tensor, x: Tensor, y: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """Return the objective [G, P] and its gradient, shaped like theta [G, d + 1, P, C], over chunks of rows."""
    groups, n, _ = x.shape
    loss = 0.5 * (ridge * theta.square()).sum((1, 3))
    grad = ridge * theta
    rows = max(1, CHUNK_BYTES // (x.element_size() * groups * theta[0, 0].numel()))
    for x_rows, y_rows in zip(x.split(rows, dim=1), y.split(rows, dim=1), strict=True):
        logits = (x_rows @ theta[:, :-1].flatten(2)).unflatten(2, theta.shape[2:]) + theta[:, -1:]  # [G, rows, P, C]
        target = y_rows[:, :, None, None].expand(-1, -1, theta.shape[2], 1)
        log_p = logits.log_softmax(-1)
        loss -= log_p.gather(-1, target).sum((1, 3)) / n
        residual = log_p.exp_().scatter_add_(-1, target, -torch.ones_like(logits[..., :1]))  # p - onehot(y)
        grad[:, :-1] += (x_rows.mT @ residual.flatten(2)).unflatten(2, theta.shape[2:]) / n
        grad[:, -1] += residual.sum(1) / n
    return loss, grad


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each problem, [G, 1, P, 1], of tensors [G, d + 1, P, C]."""
    return (a * b).sum((1, 3), keepdim=True)


def _minimise(objective, theta: Tensor, max_iter: int, tol: float) -> Tensor:
    """L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with backtracking, on independent convex problems in lock-step.

    A problem whose trial point is refused stays where it is and tries half the step next time; the others move on.
    """
    loss, grad = objective(theta)
    history: list[tuple[Tensor, Tensor, Tensor]] = []  # s, y, 1 / (s y)
    step = _dot(grad, grad).rsqrt().clamp(max=1.0)  # no curvature is known yet: a first step of length 1
    gamma = torch.ones_like(step)
    slack = 10 * torch.finfo(theta.dtype).eps  # what rounding may add to the objective
    for _ in range(max_iter):
        active = (grad.abs().amax((1, 3), keepdim=True) > tol) & (step > 1e-6)
        if not active.any():
            break
        direction = _two_loop(grad, history, gamma)
        slope = _dot(grad, direction)
        trial = theta + step * direction
        trial_loss, trial_grad = objective(trial)
        bound = loss + (1e-4 * step * slope).flatten(1) + slack * loss.abs()
        accepted = active & (trial_loss <= bound)[:, None, :, None]
        s = torch.where(accepted, trial - theta, 0.0)
        change = torch.where(accepted, trial_grad - grad, 0.0)
        curvature = _dot(s, change)
        usable = curvature > 1e-10 * _dot(change, change)
        inverse = torch.where(usable, 1 / curvature, 0.0)  # 0 makes a pair do nothing
        history = [*history, (s, change, inverse)][-MEMORY:]
        gamma = torch.where(usable, curvature / _dot(change, change), gamma)
        theta = torch.where(accepted, trial, theta)
        grad = torch.where(accepted, trial_grad, grad)
        loss = torch.where(accepted[:, 0, :, 0], trial_loss, loss)
        step = torch.where(accepted, 1.0, step / 2)
    return theta


def _two_loop(grad: Tensor, history: list[tuple[Tensor, Tensor, Tensor]], gamma: Tensor) -> Tensor:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4)."""
    q = grad.clone()
    alphas = []
    for s, y, rho in reversed(history):
        alphas.append(rho * _dot(s, q))
        q -= alphas[-1] * y
    q *= gamma
    for (s, y, rho), alpha in zip(history, reversed(alphas), strict=True):
        q += (alpha - rho * _dot(y, q)) * s
    return -q
