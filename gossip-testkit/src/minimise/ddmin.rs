//! Delta debugging of a list (Zeller and Hildebrandt, 2002). Knows nothing of scenarios.

/// Returns a part of `items` for which `fails` holds and of which no single element can be left out, given that it holds
/// for all of `items`. As soon as `fails` answers none, the part found so far is returned: copying long lists takes time,
/// too.
pub(super) fn ddmin<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> Option<bool>) -> Vec<T> {
    if items.is_empty() {
        return items;
    }
    match fails(&[]) {
        Some(true) => return Vec::new(),
        Some(false) => {}
        None => return items,
    }
    let mut parts = 2;
    while items.len() > 1 {
        match smaller(&items, parts, &mut fails) {
            None => break,
            Some(Some((part, of))) => (items, parts) = (part, of),
            Some(None) if parts >= items.len() => break,
            Some(None) => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

/// Returns one of `parts` parts of `items` that fails, or the rest without one of them, and the number of parts to cut
/// that into next.
fn smaller<T: Clone>(
    items: &[T],
    parts: usize,
    fails: &mut impl FnMut(&[T]) -> Option<bool>,
) -> Option<Option<(Vec<T>, usize)>> {
    let size = items.len().div_ceil(parts);
    for chunk in items.chunks(size) {
        if fails(chunk)? {
            return Some(Some((chunk.to_vec(), 2)));
        }
    }
    for from in (0..items.len()).step_by(size).filter(|_| items.len() > 2 * size) {
        let rest = [&items[..from], &items[(from + size).min(items.len())..]].concat();
        if fails(&rest)? {
            return Some(Some((rest, (parts - 1).max(2))));
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::ddmin;

    #[test]
    fn what_is_needed_remains_and_nothing_else() {
        for needed in [vec![], vec![7], vec![0, 99], vec![3, 4, 50], (0..100).step_by(9).collect::<Vec<u32>>()] {
            let mut runs = 0;
            let left = ddmin((0..100).collect(), |items: &[u32]| {
                runs += 1;
                Some(needed.iter().all(|n| items.contains(n)))
            });
            assert_eq!(left, needed);
            assert!(runs < 1_000, "{runs} runs");
        }
    }

    #[test]
    fn once_there_is_no_answer_any_more_nothing_is_asked() {
        for most in 0..40 {
            let mut runs = 0;
            let left = ddmin((0..100).collect(), |items: &[u32]| {
                assert!(runs <= most, "it has had its answer");
                runs += 1;
                (runs <= most).then(|| [3, 50].iter().all(|n| items.contains(n)))
            });
            assert!([3, 50].iter().all(|n| left.contains(n)));
        }
    }
}
