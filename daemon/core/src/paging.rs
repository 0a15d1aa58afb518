//! Parts of long lists, as people leaf through them: pages of equal length, counted from 1.

use crate::error::{FieldProblem, RequestField};

/// Which page is asked for, and how long pages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    page: usize,
    per_page: usize,
}

impl Paging {
    /// How long a page is unless the request says otherwise.
    pub const USUAL_PER_PAGE: usize = 30;
    /// The longest page.
    pub const MAX_PER_PAGE: usize = 1000;

    /// The first page, as long as one may be: what a request gets that asks for no page.
    pub fn longest() -> Self {
        Self { page: 1, per_page: Self::MAX_PER_PAGE }
    }

    /// Page `page`, from 1, of pages with `per_page` entries, 1 to [`Paging::MAX_PER_PAGE`].
    ///
    /// # Errors
    /// Every number that is out of its bounds, at its field.
    pub fn new(page: usize, per_page: usize) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        if page == 0 {
            problems.push(FieldProblem::new(
                [RequestField::Page.into()],
                "Expected a whole number from 1.",
            ));
        }
        if !(1..=Self::MAX_PER_PAGE).contains(&per_page) {
            let sentence = format!("Expected a whole number from 1 to {}.", Self::MAX_PER_PAGE);
            problems.push(FieldProblem::new([RequestField::PerPage.into()], sentence));
        }
        if problems.is_empty() { Ok(Self { page, per_page }) } else { Err(problems) }
    }

    /// Its number, from 1.
    pub fn page(self) -> usize {
        self.page
    }

    /// How many entries a page has.
    pub fn per_page(self) -> usize {
        self.per_page
    }

    /// How many entries come before the page. Saturates: no page number makes the daemon panic.
    fn skipped(self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// This page of `all`. Entries of other pages are not looked at, where the iterator can skip.
    pub fn of<T>(self, all: impl ExactSizeIterator<Item = T>) -> Page<T> {
        let total = all.len();
        let items = all.skip(self.skipped()).take(self.per_page).collect();
        Page { items, total, paging: self }
    }
}

impl Default for Paging {
    fn default() -> Self {
        Self { page: 1, per_page: Self::USUAL_PER_PAGE }
    }
}

/// One page, and what it is a page of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its entries: fewer than asked for on the last page, none past it.
    pub items: Vec<T>,
    /// How many entries all pages have together.
    pub total: usize,
    /// Which page was asked for.
    pub paging: Paging,
}

impl<T> Page<T> {
    /// How many pages there are; none of an empty list.
    pub fn total_pages(&self) -> usize {
        self.total.div_ceil(self.paging.per_page)
    }

    /// The page to leaf back to: the one before, or the last one from a page behind it.
    /// `None` when there is none.
    pub fn previous(&self) -> Option<usize> {
        Some((self.paging.page - 1).min(self.total_pages())).filter(|page| *page > 0)
    }

    /// The page to leaf on to. `None` on and past the last one.
    pub fn next(&self) -> Option<usize> {
        (self.paging.page < self.total_pages()).then(|| self.paging.page + 1)
    }

    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        let Self { items, total, paging } = self;
        Page { items: items.into_iter().map(change).collect(), total, paging }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(page: usize, per_page: usize, total: usize) -> Page<usize> {
        Paging::new(page, per_page).unwrap().of(0..total)
    }

    #[test]
    fn neighbours_are_those_of_the_specification() {
        // Page, its length, entries in all: listed, before, after, pages.
        for (asked, expected) in [
            ((1, 30, 300), (30, None, Some(2), 10)),
            ((2, 30, 300), (30, Some(1), Some(3), 10)),
            ((10, 30, 300), (30, Some(9), None, 10)),
            ((11, 30, 300), (0, Some(10), None, 10)),
            ((99, 30, 300), (0, Some(10), None, 10)),
            ((1, 30, 0), (0, None, None, 0)),
            ((7, 30, 0), (0, None, None, 0)),
            ((2, 30, 31), (1, Some(1), None, 2)),
            ((usize::MAX, 1000, 5), (0, Some(1), None, 1)),
        ] {
            let (number, per_page, total) = asked;
            let page = page(number, per_page, total);
            assert_eq!(
                (page.items.len(), page.previous(), page.next(), page.total_pages()),
                expected,
                "{asked:?}"
            );
        }
    }

    #[test]
    fn every_number_out_of_bounds_is_named() {
        let places = |page, per_page| {
            let problems = Paging::new(page, per_page).unwrap_err();
            problems.iter().map(FieldProblem::place).collect::<Vec<_>>()
        };
        assert_eq!(places(0, 0), ["page", "per_page"]);
        assert_eq!(places(1, 1001), ["per_page"]);
        assert_eq!(places(0, 1000), ["page"]);
        assert_eq!(Paging::default(), Paging::new(1, 30).unwrap());
    }

    proptest! {
        #[test]
        fn leafing_on_shows_everything_once_in_order(total in 0_usize..2500, per_page in 1_usize..=1000) {
            let (mut seen, mut next) = (Vec::new(), Some(1));
            while let Some(number) = next {
                let page = page(number, per_page, total);
                prop_assert_eq!(page.total, total);
                seen.extend(page.items.iter().copied());
                next = page.next();
            }
            prop_assert_eq!(seen, (0..total).collect::<Vec<_>>());
        }

        #[test]
        fn no_page_points_at_one_that_is_not_there(number in 1_usize.., per_page in 1_usize..=1000, total in 0_usize..5000) {
            let page = page(number, per_page, total);
            let pages = page.total_pages();
            prop_assert!(page.items.len() <= per_page);
            prop_assert_eq!(page.items.is_empty(), number > pages);
            prop_assert!(page.previous().is_none_or(|before| before < number && (1..=pages).contains(&before)));
            prop_assert!(page.next().is_none_or(|after| after == number + 1 && after <= pages));
            prop_assert_eq!(page.previous().is_none(), number == 1 || total == 0);
        }
    }
}
