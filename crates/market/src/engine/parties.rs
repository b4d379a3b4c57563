//! Parties, their keys and their machines.

use super::{
    Actor, Engine,
    state::{KeyOwner, Machine, Party, Presence},
};
use crate::{
    command::{CERTIFICATE_DOMAIN, ROTATION_DOMAIN, certificate_message, is_label, rotation_message},
    event::Event,
    id::{MachineId, PartyId},
    key::{PublicKey, Signature},
    lease::CloseReason,
    rejection::{Conflict, Entity, NeedsSigner, Rejection},
    reply::Reply,
    resources::Resources,
    units::Msat,
};
use std::collections::BTreeSet;

impl Engine {
    pub(super) fn register_party(&mut self, actor: Actor, label: &str) -> Result<Reply, Rejection> {
        let Actor::Stranger(key) = actor else {
            return Err(Rejection::conflict(Entity::Key, Conflict::KeyTaken));
        };
        self.check_key_is_new(&key)?;
        check_label(label)?;
        let row = Party {
            key,
            label: label.to_owned(),
            is_operators: false,
            open_leases: 0,
            open_payments: 0,
            in_flight_msat: Msat::ZERO,
            hold_faults: 0,
            at_sale_msat: Msat::ZERO,
        };
        let party = self.state.parties.push(row);
        self.state.keys.insert(key, KeyOwner::Party(party));
        self.emit(Event::PartyRegistered { party, key, label: label.to_owned() });
        Ok(Reply::Party(party))
    }

    pub(super) fn rotate_key(
        &mut self,
        actor: Actor,
        new_key: &PublicKey,
        consent: &Signature,
    ) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        self.check_key_is_new(new_key)?;
        let old_key = self.state.party(party).key;
        let message = rotation_message(&self.state.venue, &old_key);
        new_key
            .verify(ROTATION_DOMAIN, &message, consent)
            .map_err(|_| Rejection::conflict(Entity::Key, Conflict::NoConsent))?;
        self.state.keys.insert(old_key, KeyOwner::Retired);
        self.state.keys.insert(*new_key, KeyOwner::Party(party));
        self.state.party_mut(party).key = *new_key;
        self.emit(Event::KeyRotated { party, key: *new_key });
        Ok(Reply::Done)
    }

    pub(super) fn certify_machine(
        &mut self,
        actor: Actor,
        key: &PublicKey,
        consent: &Signature,
        label: &str,
        capacity: &Resources,
    ) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        if let Some(KeyOwner::Machine(machine)) = self.state.keys.get(key) {
            let is = if self.state.machine(*machine).party == party {
                Conflict::KeyTaken
            } else {
                Conflict::OwnedByAnother
            };
            return Err(Rejection::conflict(Entity::Machine(*machine), is));
        }
        self.check_key_is_new(key)?;
        check_label(label)?;
        if !capacity.is_sane() {
            return Err(Rejection::Flaw("the machine's capacity is zero or far too large".into()));
        }
        let message = certificate_message(&self.state.venue, &self.state.party(party).key);
        key.verify(CERTIFICATE_DOMAIN, &message, consent)
            .map_err(|_| Rejection::conflict(Entity::Key, Conflict::NoConsent))?;
        let machine = self.state.machines.push(Machine {
            party,
            key: *key,
            label: label.to_owned(),
            capacity: capacity.clone(),
            free: capacity.clone(),
            presence: Presence::Live,
            offers: BTreeSet::new(),
            leases: BTreeSet::new(),
        });
        self.state.keys.insert(*key, KeyOwner::Machine(machine));
        self.emit(Event::MachineCertified { machine, party, key: *key, label: label.to_owned() });
        Ok(Reply::Machine(machine))
    }

    pub(super) fn revoke_machine(&mut self, actor: Actor, machine: MachineId) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        let row = self.state.machines.get(machine).ok_or(Rejection::Unknown(Entity::Machine(machine)))?;
        if row.party != party {
            return Err(Rejection::NotAllowed { needs: NeedsSigner::Owner });
        }
        if row.presence == Presence::Revoked {
            return Err(Rejection::conflict(Entity::Machine(machine), Conflict::Revoked));
        }
        let key = row.key;
        self.withdraw_all_offers(machine);
        self.state.machine_mut(machine).presence = Presence::Revoked;
        self.state.keys.insert(key, KeyOwner::Retired);
        self.emit(Event::MachineRevoked { machine });
        for lease in self.state.machine(machine).leases.clone() {
            self.drain_lease(lease, CloseReason::Quit);
        }
        Ok(Reply::Done)
    }

    pub(super) fn declare_own(&mut self, party: PartyId) -> Result<Reply, Rejection> {
        let row = self.state.parties.get_mut(party).ok_or(Rejection::Unknown(Entity::Party(party)))?;
        row.is_operators = true;
        self.emit(Event::DeclaredOwn { party });
        Ok(Reply::Done)
    }

    fn check_key_is_new(&self, key: &PublicKey) -> Result<(), Rejection> {
        if *key == self.state.venue || self.state.keys.contains_key(key) {
            return Err(Rejection::conflict(Entity::Key, Conflict::KeyTaken));
        }
        Ok(())
    }
}

fn check_label(label: &str) -> Result<(), Rejection> {
    if is_label(label) {
        Ok(())
    } else {
        Err(Rejection::Flaw("a label has 1 to 64 printable characters".into()))
    }
}
