//! Small dense symmetric matrices: eigenpairs and inverses, in f64, row by row.
//!
//! Householder's reduction to a tridiagonal matrix and the implicit QL method (Golub and Van Loan, Matrix
//! Computations, sections 8.3 and 8.4), and Cholesky's factors for inverses. Sizes are a few hundred at
//! most; a general library would be larger than the rest of this crate.

/// Most sweeps of QL for one eigenvalue; two or three are usual.
const MAX_SWEEPS: usize = 60;

/// Eigenvalues of the symmetric `n` x `n` matrix `a` in falling order, and their vectors, one a row.
pub(crate) fn eigenpairs(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut off) = (vec![0.0; n], vec![0.0; n]);
    tridiagonal(&mut a, n, &mut diagonal, &mut off);
    // One vector a row: the rotations below then run along memory.
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            vectors[j * n + i] = a[i * n + j];
        }
    }
    implicit_ql(&mut diagonal, &mut off, &mut vectors, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]).then(a.cmp(b)));
    let values = order.iter().map(|i| diagonal[*i]).collect();
    let sorted = order.iter().flat_map(|i| vectors[i * n..(i + 1) * n].iter().copied()).collect();
    (values, sorted)
}

/// Reduces `a` to tridiagonal form; `a` becomes the orthogonal matrix that does it.
fn tridiagonal(a: &mut [f64], n: usize, diagonal: &mut [f64], off: &mut [f64]) {
    for i in (1..n).rev() {
        let scale: f64 = a[i * n..i * n + i].iter().map(|x| x.abs()).sum();
        if i == 1 || scale == 0.0 {
            off[i] = a[i * n + i - 1];
            continue;
        }
        diagonal[i] = reflect(a, n, i, scale, off);
    }
    diagonal[0] = 0.0;
    let mut sums = vec![0.0; n];
    for i in 0..n {
        if diagonal[i] != 0.0 {
            sums[..i].fill(0.0);
            for k in 0..i {
                let u = a[i * n + k];
                for j in 0..i {
                    sums[j] += u * a[k * n + j];
                }
            }
            for k in 0..i {
                let u = a[k * n + i];
                for j in 0..i {
                    a[k * n + j] -= sums[j] * u;
                }
            }
        }
        diagonal[i] = a[i * n + i];
        a[i * n + i] = 1.0;
        for j in 0..i {
            a[j * n + i] = 0.0;
            a[i * n + j] = 0.0;
        }
    }
}

/// One Householder reflection, for row `i`; returns half the squared length of its vector.
fn reflect(a: &mut [f64], n: usize, i: usize, scale: f64, off: &mut [f64]) -> f64 {
    let mut h = 0.0;
    for x in &mut a[i * n..i * n + i] {
        *x /= scale;
        h += *x * *x;
    }
    let f = a[i * n + i - 1];
    let g = if f >= 0.0 { -h.sqrt() } else { h.sqrt() };
    off[i] = scale * g;
    h -= f * g;
    a[i * n + i - 1] = f - g;
    let mut sum = 0.0;
    for j in 0..i {
        a[j * n + i] = a[i * n + j] / h;
    }
    for j in 0..i {
        let mut g = 0.0;
        for k in 0..=j {
            g += a[j * n + k] * a[i * n + k];
        }
        for k in j + 1..i {
            g += a[k * n + j] * a[i * n + k];
        }
        off[j] = g / h;
        sum += off[j] * a[i * n + j];
    }
    let half = sum / (h + h);
    for j in 0..i {
        let f = a[i * n + j];
        let g = off[j] - half * f;
        off[j] = g;
        for k in 0..=j {
            a[j * n + k] -= f * off[k] + g * a[i * n + k];
        }
    }
    h
}

/// Diagonalises, turning the rows of `vectors` along.
fn implicit_ql(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize) {
    e.rotate_left(1);
    if let Some(last) = e.last_mut() {
        *last = 0.0;
    }
    for l in 0..n {
        for _ in 0..MAX_SWEEPS {
            let split = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(split).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = (g * g + 1.0).sqrt();
            let shift = d[m] - d[l] + e[l] / (g + if g >= 0.0 { r } else { -r });
            sweep(d, e, vectors, n, (l, m), shift);
        }
    }
}

/// One QL sweep over the block `l..=m`.
fn sweep(d: &mut [f64], e: &mut [f64], vectors: &mut [f64], n: usize, (l, m): (usize, usize), shift: f64) {
    let (mut g, mut s, mut c, mut p) = (shift, 1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        let (low, high) = vectors.split_at_mut((i + 1) * n);
        for (x, y) in low[i * n..].iter_mut().zip(&mut high[..n]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

/// The inverse of the positive definite `n` x `n` matrix `a`; pivots are kept over a least one.
pub(crate) fn inverse(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for j in 0..n {
        for k in 0..j {
            let f = a[j * n + k];
            for i in j..n {
                a[i * n + j] -= a[i * n + k] * f;
            }
        }
        let pivot = a[j * n + j].max(1e-12).sqrt();
        for i in j + 1..n {
            a[i * n + j] /= pivot;
        }
        a[j * n + j] = pivot;
    }
    let mut out = vec![0.0; n * n];
    let mut y = vec![0.0; n];
    for column in 0..n {
        for i in 0..n {
            let mut sum = if i == column { 1.0 } else { 0.0 };
            for k in column..i {
                sum -= a[i * n + k] * y[k];
            }
            y[i] = if i < column { 0.0 } else { sum / a[i * n + i] };
        }
        for i in (0..n).rev() {
            let mut sum = y[i];
            for k in i + 1..n {
                sum -= a[k * n + i] * y[k];
            }
            y[i] = sum / a[i * n + i];
        }
        for i in 0..n {
            out[i * n + column] = y[i];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::dither;

    /// A positive definite matrix that is not diagonal.
    fn matrix(n: usize) -> Vec<f64> {
        let b: Vec<f64> = (0..n * n).map(|i| f64::from(dither(i as u64)) - 0.5).collect();
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                a[i * n + j] = (0..n).map(|k| b[i * n + k] * b[j * n + k]).sum();
            }
        }
        a
    }

    #[test]
    fn eigenpairs_solve_the_matrix() {
        for n in [1, 2, 3, 17, 40] {
            let a = matrix(n);
            let (values, vectors) = eigenpairs(a.clone(), n);
            assert!(values.is_sorted_by(|x, y| x >= y));
            for (k, value) in values.iter().enumerate() {
                let v = &vectors[k * n..(k + 1) * n];
                assert!((v.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-10);
                for i in 0..n {
                    let product: f64 = (0..n).map(|j| a[i * n + j] * v[j]).sum();
                    assert!((product - value * v[i]).abs() < 1e-10, "n {n}");
                }
            }
        }
    }

    #[test]
    fn eigenvalues_of_what_is_degenerate() {
        let (values, _) = eigenpairs(vec![0.0; 16], 4);
        assert_eq!(values, [0.0; 4]);
        let (values, vectors) = eigenpairs(vec![1.0; 9], 3);
        assert!((values[0] - 3.0).abs() < 1e-12 && values[2].abs() < 1e-12);
        assert!(vectors.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn inverse_inverts() {
        let n = 12;
        let mut a = matrix(n);
        (0..n).for_each(|i| a[i * n + i] += 0.1);
        let b = inverse(a.clone(), n);
        for i in 0..n {
            for j in 0..n {
                let product: f64 = (0..n).map(|k| a[i * n + k] * b[k * n + j]).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
    }
}
