//! Flagged stretches do not poison learning.
