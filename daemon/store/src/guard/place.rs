//! Where the guard of a store keeps its files: in a directory beside the store's own, with the
//! same name and `.guard` behind it.
//!
//! | file | what it is |
//! |---|---|
//! | `tip` | the last acknowledged commit, see [`super::tip`] |
//! | `clean` | the files of the store at its last clean end; removed before an engine opens them |
//! | `before` | the files as they were before an opening that is under way |
//! | `before.list` | what is in `before`; written last, so that without it `before` is not whole |
//! | `displaced-<n>` | what stood in the store when an opening was undone, or an unmoved copy |
//! | `accepted-<revision>` | the files as they were before an operator accepted a loss |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::copy;
use super::reached::Reached;
use super::stock::{self, Item, Reader, Stock, read_file};
use super::tip::{Known, Tip};
use crate::error::OpenError;

/// The directory of a store, and that of its guard.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) store: PathBuf,
    guard: PathBuf,
}

impl Place {
    /// The place of the store in `store`.
    pub(super) fn of(store: &Path) -> Self {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(".guard");
        Self { store: store.to_owned(), guard: store.with_file_name(name) }
    }

    /// Makes the guard's directory, durably.
    pub(super) fn make(&self) -> Result<(), OpenError> {
        copy::make_directory(&self.guard)?;
        copy::sync_directory(self.guard.parent().unwrap_or(Path::new(".")))
    }

    pub(super) fn tip_path(&self) -> PathBuf {
        self.guard.join("tip")
    }

    fn clean(&self) -> PathBuf {
        self.guard.join("clean")
    }

    fn before(&self) -> PathBuf {
        self.guard.join("before")
    }

    fn before_list(&self) -> PathBuf {
        self.guard.join("before.list")
    }

    /// What the tip says.
    pub(super) fn known(&self) -> Result<Known, OpenError> {
        Tip::look(&self.tip_path()).map_err(OpenError::io(&self.tip_path(), "read"))
    }

    /// Opens the tip for writing.
    pub(super) fn tip(&self, reached: Reached) -> Result<Tip, OpenError> {
        let tip = Tip::open(&self.tip_path(), reached);
        let tip = tip.map_err(OpenError::io(&self.tip_path(), "write"))?;
        copy::sync_directory(&self.guard)?;
        Ok(tip)
    }

    /// The files at the last clean end; `None` after any other end.
    pub(super) fn at_clean_end(&self) -> Result<Option<Stock>, OpenError> {
        let path = self.clean();
        let Some(text) = read_text(&path)? else { return Ok(None) };
        let stock = Stock::parse(&text);
        if stock.is_none() {
            // The content is compared with the tip in any case.
            tracing::error!(file = %path.display(), "{} is damaged", path.display());
        }
        Ok(stock)
    }

    /// Notes the files of a clean end.
    pub(super) fn note_clean_end(&self, stock: &Stock) -> Result<(), OpenError> {
        copy::write_whole(&self.clean(), stock.to_text().as_bytes())
    }

    /// From here on an end is unclean.
    pub(super) fn forget_clean_end(&self) -> Result<(), OpenError> {
        copy::remove_file(&self.clean()).map(drop)
    }

    /// Copies the files of the store, so that they can be put back.
    pub(super) fn keep(&self, stock: &Stock, reader: Reader<'_>) -> Result<(), OpenError> {
        self.discard()?;
        let copied = copy::files(stock, &self.store, &self.before(), reader);
        let noted = copied
            .and_then(|()| copy::write_whole(&self.before_list(), stock.to_text().as_bytes()));
        if noted.is_err() {
            // A part of a copy is of no use; the store has not been touched.
            let _removed = self.discard();
        }
        noted
    }

    /// Whether the files can still be put back. Without the list the store is settled.
    pub(super) fn can_put_back(&self) -> bool {
        self.before_list().symlink_metadata().is_ok()
    }

    /// The files that an opening which broke off would have put back, or left behind.
    pub(super) fn kept(&self) -> Result<Option<Stock>, OpenError> {
        let path = self.before_list();
        let Some(text) = read_text(&path)? else { return Ok(None) };
        let damaged = || io::Error::other("it is damaged");
        Stock::parse(&text).map(Some).ok_or_else(damaged).map_err(OpenError::io(&path, "read"))
    }

    /// Puts the files back that [`Self::keep`] has copied.
    pub(super) fn put_back(&self, stock: &Stock) -> Result<(), OpenError> {
        self.check_kept(stock)?;
        copy::replace(stock, &self.before(), &self.store)?;
        self.discard()
    }

    /// Undoes an opening that broke off, as [`Self::put_back`], and keeps what stands in the store
    /// now: an operator may have restored a backup meanwhile. Returns where it is kept, if anything
    /// was there that is not put back.
    pub(super) fn undo(&self, stock: &Stock) -> Result<Option<PathBuf>, OpenError> {
        self.check_kept(stock)?;
        let aside = self.displaced();
        let is_kept = copy::displace(stock, &self.store, &aside)?;
        copy::replace(stock, &self.before(), &self.store)?;
        self.discard()?;
        Ok(is_kept.then_some(aside))
    }

    /// Keeps the copy of a store that was settled by a daemon which died before it had moved the
    /// copy to its place. Returns where it is.
    pub(super) fn keep_unmoved(&self) -> Result<Option<PathBuf>, OpenError> {
        let before = self.before();
        if !before.join("list").exists() {
            return Ok(None);
        }
        let to = self.displaced();
        fs::rename(&before, &to).map_err(OpenError::io(&to, "make"))?;
        copy::sync_directory(&self.guard)?;
        Ok(Some(to))
    }

    /// A name that nothing has yet.
    fn displaced(&self) -> PathBuf {
        let named = |number: u32| self.guard.join(format!("displaced-{number}"));
        let mut number = 1;
        while named(number).symlink_metadata().is_ok() {
            number += 1;
        }
        named(number)
    }

    /// A copy that cannot be read, or is not whole, must not take the place of anything. What an
    /// earlier attempt has put back stands in the store already.
    fn check_kept(&self, stock: &Stock) -> Result<(), OpenError> {
        let before = self.before();
        if !before.exists() {
            return Err(self.not_whole(&before));
        }
        let kept = Stock::take(&before, &read_file)?;
        if let Some(name) =
            kept.0.iter().find_map(|(name, item)| (stock.0.get(name) != Some(item)).then_some(name))
        {
            let cause = io::Error::other("the copy was changed since it was made");
            return Err(OpenError::io(&before.join(name), "put back")(cause));
        }
        let is_back = |name: &PathBuf, item: &Item| {
            stock::read(&self.store.join(name), &read_file).is_ok_and(|there| there == *item)
        };
        let missing =
            stock.0.iter().find(|(name, item)| !kept.0.contains_key(*name) && !is_back(name, item));
        missing.map_or(Ok(()), |(name, _)| Err(self.not_whole(&before.join(name))))
    }

    fn not_whole(&self, missing: &Path) -> OpenError {
        let cause = io::Error::other(format!(
            "it is missing, and was copied before an opening of the store that broke off. Put it \
             back there, or copy {} to another place and remove {}: then the store is opened with \
             the files that it has",
            self.guard.display(),
            self.before_list().display()
        ));
        OpenError::io(missing, "put back")(cause)
    }

    /// Removes the copy.
    pub(super) fn discard(&self) -> Result<(), OpenError> {
        copy::remove_file(&self.before_list())?;
        copy::remove(&self.before())
    }

    /// Moves the copy to `to`, with its list in it.
    pub(super) fn move_kept(&self, to: &Path) -> Result<(), OpenError> {
        copy::remove(to)?;
        let (before, list) = (self.before(), self.before_list());
        let moved = fs::rename(&list, before.join("list")).and_then(|()| fs::rename(&before, to));
        moved.map_err(OpenError::io(to, "make"))?;
        copy::sync_directory(&self.guard)?;
        copy::sync_directory(to.parent().unwrap_or(Path::new(".")))
    }

    /// Where the files are kept that stood here before a loss was accepted.
    pub(super) fn accepted(&self, revision: u64) -> PathBuf {
        self.guard.join(format!("accepted-{revision}"))
    }
}

fn read_text(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io(path, "read")(error)),
    }
}
