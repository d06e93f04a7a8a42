//! Handle resolution (RFC 5352 sec 3.3).

use rserpool_handlespace::UserPlace;
use rserpool_wire::{
    AsapMessage, CauseCode, HandleResolution, HandleResolutionResponse, OperationError,
    PoolElement, PoolHandle, Resolution,
};
use sctp_user_core::Time;

use super::budget::Request;
use super::config::MAX_ITEMS;
use super::{RegistrarCore, addresses};
use crate::channel::ChannelId;

impl RegistrarCore {
    pub(super) fn on_handle_resolution(
        &mut self,
        now: Time,
        channel: ChannelId,
        request: HandleResolution,
    ) {
        let HandleResolution { pool, items, subscribe } = request;
        let Some(from) = self.associations.get_mut(&channel) else { return };
        let place = addresses::place_of(&from.peer);
        if !from.resolutions.admit(now, &pool, self.config.max_resolution_rate)
            || !self.admit_request(now, channel, Request::Resolution)
        {
            self.stats.limited_resolutions += 1;
            return self.refuse_resolution(channel, pool, CauseCode::SECURITY, false);
        }
        self.stats.handle_resolutions += 1;
        let subscribed = subscribe && self.subscribe(channel, &pool);
        let items = self.items_for(now, channel, &pool, items);
        let elements = self.select(&pool, items, place);
        if elements.is_empty() {
            return self.refuse_resolution(channel, pool, CauseCode::UNKNOWN_POOL, subscribed);
        }
        self.respond_to_resolution(channel, pool, elements, subscribed);
    }

    /// How many elements an answer may name. A long answer takes as much work as twenty short ones;
    /// so whoever asks for many of them gets short ones.
    fn items_for(
        &mut self,
        now: Time,
        channel: ChannelId,
        pool: &PoolHandle,
        items: Option<u32>,
    ) -> usize {
        let default = self.config.max_resolution_items;
        let wanted = match items {
            None | Some(0) => default,
            Some(items) => usize::try_from(items).unwrap_or(usize::MAX).min(MAX_ITEMS),
        };
        let there = self.space.pool(pool).map_or(0, |pool| pool.len());
        match wanted.min(there).saturating_sub(default) {
            0 => wanted,
            more => default + self.take_requests(now, channel, Request::Element, more),
        }
    }

    fn select(&mut self, pool: &PoolHandle, items: usize, place: UserPlace) -> Vec<PoolElement> {
        let keys = self.space.select_for(place, pool, items);
        keys.into_iter()
            .filter_map(|key| Some(addresses::present(self.space.get(key)?.info(), place)))
            .collect()
    }

    pub(super) fn respond_to_resolution(
        &mut self,
        channel: ChannelId,
        pool: PoolHandle,
        elements: Vec<PoolElement>,
        accept_updates: bool,
    ) {
        // Without the policy users of RSPLIB refuse the message.
        let policy = elements.first().map(|element| element.policy.clone());
        let mut response = AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
            accept_updates,
            pool,
            resolution: Resolution::Elements { policy, elements },
        });
        // The 16 bits of a message length are not enough for 128 elements with very many addresses
        // each.
        while !self.send(channel, &response) {
            let AsapMessage::HandleResolutionResponse(response) = &mut response else { return };
            match &mut response.resolution {
                Resolution::Elements { elements, .. } if elements.len() > 1 => {
                    elements.truncate(elements.len() / 2)
                }
                _ => return,
            }
        }
    }

    fn refuse_resolution(
        &mut self,
        channel: ChannelId,
        pool: PoolHandle,
        cause: CauseCode,
        accept_updates: bool,
    ) {
        let resolution = Resolution::Error(OperationError::new(cause));
        let response = HandleResolutionResponse { accept_updates, pool, resolution };
        self.send(channel, &AsapMessage::HandleResolutionResponse(response));
    }
}
