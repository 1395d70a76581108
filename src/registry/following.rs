//! How the snapshot follows the store: a look, which may not take long, and a reading where something has changed.
//!
//! What keeps it from that is told as [`super::Registry::health`]; the snapshot stays as it is meanwhile.

use super::{RegistryError, Shared};
use crate::store::StoreError;

impl Shared {
    /// Reads what has changed in the store, and shows it unless it is sealed by a key that is missing.
    async fn read(&self) -> Result<Option<Vec<String>>, StoreError> {
        let _turn = self.turn.lock().await;
        let known = self.snapshot.borrow().revision();
        let Some(loaded) = self.store.load_unless(Some(known)).await? else { return Ok(None) };
        if !loaded.keys_missing.is_empty() {
            return Ok(Some(loaded.keys_missing));
        }
        self.show(loaded);
        Ok(None)
    }

    /// Looks whether the store has changed, and if so reads it.
    pub(super) async fn poll(&self) {
        let known = self.snapshot.borrow().revision();
        // Before the turn, which a change may hold for as long as it waits for the store.
        let read = match self.store.is_at(known).await {
            Ok(true) => Ok(None),
            Ok(false) => self.read().await,
            Err(error) => Err(error),
        };
        let trouble = match read {
            Ok(None) => None,
            Ok(Some(names)) => {
                let error = RegistryError::KeysMissing { names };
                Some(format!("the webhooks last known are in use: {error}"))
            }
            Err(error) => Some(format!("the webhooks last known are in use, since the store cannot be read: {error}")),
        };
        self.trouble.send_if_modified(|said| {
            let differs = *said != trouble;
            *said = trouble;
            differs
        });
    }
}
