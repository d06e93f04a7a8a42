//! Registration: who may be a member, and what a renewal replaces.

use rserpool_wire::{PoolElement, PoolHandle};

use crate::arena::ElementKey;
use crate::element::{Element, OwnerId, is_this_host_only};
use crate::error::RegisterError;
use crate::handlespace::Handlespace;
use crate::policy::{Class, Member, Params, State};
use crate::pool::{Kind, Pool};

/// How [`Handlespace::register`] decides where elements that register here and copies from other
/// registrars differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterRules {
    /// For an element that is known with another home registrar. Default: refuse.
    pub other_home: OtherHome,
    /// For an element that does not fit into its pool. Default: refuse.
    pub misfit: Misfit,
}

/// What becomes of the registration of an element that is known with another home registrar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherHome {
    /// It is refused with [`RegisterError::OtherHome`].
    #[default]
    Refuse,
    /// The element gets the home registrar that the registration names.
    TakeOver,
}

/// What becomes of the registration of an element that does not fit: its policy, transport protocol
/// or use of a control channel is not that of the pool, or its policy is unknown here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfit {
    /// It is refused, even if the element is a member already. So under this rule a member that was
    /// set aside and then taken over cannot renew its registration. But it is not refused when
    /// nothing speaks against it except what others have told of this very element
    /// ([`Element::is_registered`]).
    #[default]
    Refuse,
    /// The element becomes a member, but no selection gives it. When no fitting member is left, the
    /// pool takes over policy, protocol and use from one that was set aside: of those with a known
    /// policy, the one with the smallest identifier. Selections then give that one and all that
    /// fit.
    SetAside,
}

/// What [`Handlespace::register`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The element.
    pub key: ElementKey,
    /// False when the element was there before and has been brought up to date.
    pub new: bool,
}

impl Handlespace {
    /// Registers an element, or brings a registered one with the same handle and identifier up to
    /// date. That replaces transports, policy information, home, life and owner. Timers, reports
    /// and suspicion stay, and so does its turn in the selection order, unless the policy is
    /// adaptive or its values have changed.
    ///
    /// No association leads to an element without an owner: it is a copy from another registrar, or
    /// an own element that was taken over or has lost its association.
    ///
    /// # Errors
    /// When the element is not valid, or the rules do not allow it. Nothing has changed then.
    pub fn register(
        &mut self,
        handle: &PoolHandle,
        info: PoolElement,
        owner: Option<OwnerId>,
        rules: RegisterRules,
    ) -> Result<Registration, RegisterError> {
        let params = self.check(handle, &info, rules)?;
        match self.find(handle, info.id) {
            Some(key) => {
                self.update(key, info, params, owner);
                Ok(Registration { key, new: false })
            }
            None => {
                let key = self.insert(handle, info, params, owner)?;
                Ok(Registration { key, new: true })
            }
        }
    }

    /// Whether [`Handlespace::register`] would take the element; changes nothing.
    ///
    /// # Errors
    /// As for `register`.
    pub fn check_registration(
        &self,
        handle: &PoolHandle,
        info: &PoolElement,
        rules: RegisterRules,
    ) -> Result<(), RegisterError> {
        self.check(handle, info, rules)?;
        if self.find(handle, info.id).is_none() && self.elements.len() >= self.config.max_elements {
            return Err(RegisterError::Full(self.config.max_elements));
        }
        Ok(())
    }

    fn check(
        &self,
        handle: &PoolHandle,
        info: &PoolElement,
        rules: RegisterRules,
    ) -> Result<Option<Params>, RegisterError> {
        if info.id.is_undefined() {
            return Err(RegisterError::InvalidIdentifier);
        }
        let length = handle.as_bytes().len();
        if length > self.config.max_handle_length {
            return Err(RegisterError::HandleTooLong {
                length,
                limit: self.config.max_handle_length,
            });
        }
        let params = Params::of(&info.policy);
        let known = self.find(handle, info.id).and_then(|key| self.get(key));
        if rules.misfit == Misfit::Refuse {
            if params.is_none() {
                return Err(RegisterError::UnsupportedPolicy(info.policy.number()));
            }
            if let Some(pool) = self.pool(handle).filter(|pool| !self.is_hearsay(pool, known)) {
                pool.check(info)?;
            }
        }
        match known.map(|element| element.info.home) {
            Some(home) if home != info.home && rules.other_home == OtherHome::Refuse => {
                Err(RegisterError::OtherHome { home })
            }
            _ => Ok(params),
        }
    }

    /// Whether nothing but what others tell of this very element gives the pool its kind. What it
    /// says itself counts more.
    fn is_hearsay(&self, pool: &Pool, known: Option<&Element>) -> bool {
        known.is_some_and(|element| {
            !element.registered && pool.only_fitting() == Some(Kind::of(&element.info))
        })
    }

    fn insert(
        &mut self,
        handle: &PoolHandle,
        info: PoolElement,
        params: Option<Params>,
        owner: Option<OwnerId>,
    ) -> Result<ElementKey, RegisterError> {
        let full = RegisterError::Full(self.config.max_elements);
        if self.elements.len() >= self.config.max_elements {
            return Err(full);
        }
        let (id, home) = (info.id, info.home);
        let class = Class { suspect: false, this_host_only: is_this_host_only(&info) };
        let element = Element {
            handle: handle.clone(),
            info,
            owner: None,
            registered: false,
            params,
            state: State::new(class),
            deadlines: [None; 3],
            bad_reports: 0,
            seen: self.audits_begun,
        };
        let key = self.elements.insert(element).ok_or(full)?;
        let handle = handle.clone();
        if let Some(element) = self.elements.get_mut(key) {
            let pool = self.pools.entry(handle.clone()).or_insert_with(Pool::new);
            pool.members.insert(id, key);
            if let Some(params) = &params {
                let member = Member { key, params, state: &mut element.state };
                pool.put_in_group(id, Kind::of(&element.info), member);
            }
        }
        self.join_home(home, handle, id, key);
        self.set_registered(key, owner);
        Ok(key)
    }

    fn update(
        &mut self,
        key: ElementKey,
        info: PoolElement,
        params: Option<Params>,
        owner: Option<OwnerId>,
    ) {
        let home = info.home;
        if let Some(element) = self.elements.get_mut(key) {
            if let Some(pool) = self.pools.get_mut(&element.handle) {
                renew_in_pool(pool, key, element, &info, params.as_ref());
            }
            element.params = params;
            element.seen = self.audits_begun;
            // The home changes below, together with its index.
            element.info = PoolElement { home: element.info.home, ..info };
        }
        self.set_home(key, home);
        self.set_registered(key, owner);
    }

    fn set_registered(&mut self, key: ElementKey, owner: Option<OwnerId>) {
        self.set_owner(key, owner);
        if let Some(element) = self.elements.get_mut(key) {
            element.registered = owner.is_some();
        }
    }
}

/// Puts an element into the place of the pool that its new registration gives it.
fn renew_in_pool(
    pool: &mut Pool,
    key: ElementKey,
    element: &mut Element,
    new: &PoolElement,
    new_params: Option<&Params>,
) {
    let id = element.info.id;
    let (kind, new_kind) = (Kind::of(&element.info), Kind::of(new));
    let class = Class { this_host_only: is_this_host_only(new), ..element.state.class };
    let state = &mut element.state;
    match (&element.params, new_params) {
        (Some(params), Some(new_params)) if kind == new_kind => {
            if let Some(selection) = pool.selection_of(kind) {
                selection.change(Member { key, params, state }, new_params);
                selection.set_class(Member { key, params: new_params, state }, class);
            }
        }
        (params, new_params) => {
            let mut old_state = *state;
            state.class = class;
            // First in, then out: if the pool changes its kind now, this member counts.
            if let Some(params) = new_params {
                pool.put_in_group(id, new_kind, Member { key, params, state });
            }
            if let Some(params) = params {
                pool.take_from_group(id, kind, Member { key, params, state: &mut old_state });
            }
        }
    }
}
