"""Multinomial logistic regression with an L2 penalty: many problems solved side by side by one L-BFGS."""

from collections.abc import Callable

import torch
from torch import Tensor

EIGEN_LIMIT = 4096  # features (or images, if fewer) up to which a decomposition costs less than it saves
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
    theta = _minimise(lambda theta: _objective(theta, x, y, ridge), theta, max_iter, tol, _inverse_bound(x, penalties))
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


def _inverse_bound(x: Tensor, penalties: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the product with the inverse of a bound on the Hessian, for vectors shaped like theta [G, d + 1, P, C].

    No Hessian of cross-entropy exceeds 1/2 (I - 1/C) (x) X'X/n (Boehning 1992, Ann. Inst. Stat. Math. 44). Used as
    L-BFGS's first guess it takes out what makes features hard to fit, that their directions differ in scale by orders
    of magnitude, and few of the iterations are left. In the eigenbasis of X'X it is one division for all penalties.
    """
    n, d = x.shape[1:]
    if min(n, d) > EIGEN_LIMIT:
        return lambda v: v
    if d <= n:
        values, basis = torch.linalg.eigh(x.mT @ x / n)  # [G, d], [G, d, d]
    else:  # what is not spanned by the rows, no gradient ever has
        values, left = torch.linalg.eigh(x @ x.mT / n)
        basis = x.mT @ left / (n * values.clamp_min(1e-12)).sqrt().unsqueeze(1)  # [G, d, n]
    values = values.clamp_min(1e-6 * values.amax().item())  # below that, rounding; still a bound
    scale = 1 / (values[:, :, None, None] / 2 + penalties.to(x)[:, None])  # [G, r, P, 1]

    def product(v: Tensor) -> Tensor:
        inner = (basis.mT @ v[:, :-1].flatten(2)).unflatten(2, v.shape[2:]) * scale
        return torch.cat([(basis @ inner.flatten(2)).unflatten(2, v.shape[2:]), 2 * v[:, -1:]], dim=1)

    return product


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each problem, [G, 1, P, 1], of tensors [G, d + 1, P, C]."""
    return (a * b).sum((1, 3), keepdim=True)


def _minimise(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    theta: Tensor,
    max_iter: int,
    tol: float,
    precondition: Callable[[Tensor], Tensor],
) -> Tensor:
    """L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with backtracking, on independent convex problems in lock-step.

    A problem whose trial point is refused stays where it is and tries half the step next time; the others move on.
    ``precondition`` is the first guess of the inverse Hessian, up to a factor that is learned.
    """
    loss, grad = objective(theta)
    history: list[tuple[Tensor, Tensor, Tensor]] = []  # s, y, 1 / (s y)
    step = torch.ones_like(_dot(grad, grad))
    gamma = torch.ones_like(step)
    slack = 10 * torch.finfo(theta.dtype).eps  # what rounding may add to the objective
    for _ in range(max_iter):
        active = (grad.abs().amax((1, 3), keepdim=True) > tol) & (step > 1e-6)
        if not active.any():
            break
        direction = _two_loop(grad, history, gamma, precondition)
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
        gamma = torch.where(usable, curvature / _dot(change, precondition(change)), gamma)
        theta = torch.where(accepted, trial, theta)
        grad = torch.where(accepted, trial_grad, grad)
        loss = torch.where(accepted[:, 0, :, 0], trial_loss, loss)
        step = torch.where(accepted, 1.0, step / 2)
    return theta


def _two_loop(
    grad: Tensor,
    history: list[tuple[Tensor, Tensor, Tensor]],
    gamma: Tensor,
    precondition: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4)."""
    q = grad.clone()
    alphas = []
    for s, y, rho in reversed(history):
        alphas.append(rho * _dot(s, q))
        q -= alphas[-1] * y
    q = gamma * precondition(q)
    for (s, y, rho), alpha in zip(history, reversed(alphas), strict=True):
        q += (alpha - rho * _dot(y, q)) * s
    return -q
