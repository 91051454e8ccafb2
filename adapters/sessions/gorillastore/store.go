// Package gorillastore keeps the sessions of github.com/gorilla/sessions in an ebb database. Their values stay on the server;
// the cookie has a signed, random id and nothing else.
//
//	store := gorillastore.New(db, "session/", key)
//	session, err := store.Get(request, "name")
//
// The deadline of a session is kept by the database: at that millisecond the session is gone, whatever its cookie says. A Store
// has no goroutine, and nothing to close but the database.
package gorillastore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

var _ sessions.Store = (*Store)(nil)

// ErrEnded is returned by Save for a session that has ended since the request has got it: it has expired, or another request
// has deleted it. To store it would bring a session back that someone has logged out of.
var ErrEnded = errors.New("gorillastore: the session has ended meanwhile")

// Store keeps sessions under a prefix of a database. Its methods may be called from any goroutine; its fields are to be set
// before it is used.
//
// Values are encoded by encoding/gob, so the types of values other than basic ones are to be registered with gob.Register. A
// session whose id is no key of the database, as it is empty or too long, is not there, so the request gets a new one.
type Store struct {
	// Options are those of a new session. Options.MaxAge is its lifetime in seconds: 0 makes a cookie that ends with the
	// browser, and a session that ends Lifetime after it was saved; a negative one deletes the session. Default: Path "/",
	// MaxAge 30 days, HttpOnly, SameSite lax.
	Options *sessions.Options
	// Lifetime is that of a session with a MaxAge of 0. Default, for 0 and less: 24 h.
	Lifetime time.Duration
	// Sliding lets each request that reads a session prolong it, to as long as it was saved for. To spare writes that is done
	// once a sixty-fourth of that time has passed. The cookie is not prolonged: it is sent by Save, so a browser forgets the
	// session when the MaxAge of the last Save has passed. With a MaxAge of 0 it does not.
	Sliding bool
	// Codecs sign the id in the cookie, and encrypt it if there are keys for that. The first one signs, all are tried to
	// verify. Their own maximum age is off: the database knows how old a session may be.
	Codecs []securecookie.Codec
	// Write goes with each write: ebb.NoSync, ebb.Sync, or nothing for the policy of the database. What prolongs a session is
	// not synced: a power cut may make it end as if it had not been read the last time.
	Write []ebb.WriteOption

	db     *ebb.DB
	prefix string
}

// New returns the sessions of a database whose keys begin with a prefix, which no other use of the database shares. keyPairs
// are as for sessions.NewCookieStore: one key of 32 or 64 bytes to sign with, then perhaps one to encrypt with, and older pairs
// behind them, with which cookies are still accepted.
func New(db *ebb.DB, prefix string, keyPairs ...[]byte) *Store {
	s := &Store{
		Options:  &sessions.Options{Path: "/", MaxAge: 30 * 86400, HttpOnly: true, SameSite: http.SameSiteLaxMode},
		Lifetime: 24 * time.Hour,
		Codecs:   securecookie.CodecsFromPairs(keyPairs...),
		db:       db,
		prefix:   prefix,
	}
	for _, c := range s.Codecs {
		if c, ok := c.(*securecookie.SecureCookie); ok {
			c.MaxAge(0)
		}
	}
	return s
}

// Get returns the session of a request with a name, the same one for all calls of the request.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session of a request with a name. Get is for handlers, and calls New once for a request. A session that is not
// there, or no longer, is a new one; so is one whose cookie does not verify, or that the database cannot read, and then there
// is an error, too.
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	options := *s.Options
	session.Options, session.IsNew = &options, true
	cookie, err := r.Cookie(name)
	if err != nil || cookie.Value == "" { // none, or one that was deleted
		return session, nil
	}
	var id string
	if err := securecookie.DecodeMulti(name, cookie.Value, &id, s.Codecs...); err != nil {
		return session, err
	}
	err = s.load(id, session)
	if absent(err) {
		return session, nil
	}
	if err != nil {
		return session, err
	}
	session.ID, session.IsNew = id, false
	return session, nil
}

// Save stores a session and sets its cookie. If Options.MaxAge is negative the session is deleted, and the cookie, too.
func (s *Store) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options.MaxAge < 0 {
		if session.ID != "" {
			if err := s.db.Delete(s.key(session.ID), s.Write...); err != nil && !absent(err) {
				return err
			}
		}
		session.ID, session.IsNew = "", true // if the request goes on with it, it is another
		http.SetCookie(w, sessions.NewCookie(session.Name(), "", session.Options))
		return nil
	}
	if session.ID == "" {
		session.ID, session.IsNew = rand.Text(), true
	}
	if err := s.store(session); err != nil {
		return err
	}
	value, err := securecookie.EncodeMulti(session.Name(), session.ID, s.Codecs...)
	if err != nil {
		return err
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), value, session.Options))
	return nil
}

func (s *Store) key(id string) []byte {
	if id == "" {
		return nil
	}
	return append([]byte(s.prefix), id...)
}

// absent reports whether an error says that there is no such session.
func absent(err error) bool {
	return errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyEmpty) || errors.Is(err, ebb.ErrKeyTooLarge)
}

// lifetime returns how long a session that is saved lives.
func (s *Store) lifetime(session *sessions.Session) time.Duration {
	const longest = math.MaxInt64 / time.Second
	if age := time.Duration(session.Options.MaxAge); age > 0 {
		return min(age, longest) * time.Second
	}
	if s.Lifetime > 0 {
		return max(s.Lifetime, time.Millisecond)
	}
	return 24 * time.Hour
}

// store writes a session: its lifetime in milliseconds as a varint, and its values.
func (s *Store) store(session *sessions.Session) error {
	life := s.lifetime(session)
	values, err := securecookie.GobEncoder{}.Serialize(session.Values)
	if err != nil {
		return err
	}
	value := binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64+len(values)), uint64(life.Milliseconds()))
	opts := append([]ebb.WriteOption{ebb.TTL(life)}, s.Write...)
	if !session.IsNew {
		opts = append(opts, ebb.IfPresent)
	}
	err = s.db.Put(s.key(session.ID), append(value, values...), opts...)
	if errors.Is(err, ebb.ErrConditionFailed) {
		return ErrEnded
	}
	return err
}

// load reads the values of a session, and prolongs it if it slides.
func (s *Store) load(id string, session *sessions.Session) error {
	e, err := s.db.GetEntry(s.key(id))
	if err != nil {
		return err
	}
	millis, n := binary.Uvarint(e.Value)
	if n <= 0 {
		return fmt.Errorf("gorillastore: no session under key %q", e.Key)
	}
	values := make(map[any]any)
	if err := (securecookie.GobEncoder{}).Deserialize(e.Value[n:], &values); err != nil {
		return fmt.Errorf("gorillastore: key %q: %w", e.Key, err)
	}
	if s.Sliding {
		if err := s.prolong(e, time.Duration(millis)*time.Millisecond); err != nil {
			return err
		}
	}
	session.Values = values
	return nil
}

// prolong gives the session of an entry its whole life anew.
func (s *Store) prolong(e ebb.Entry, life time.Duration) error {
	left, err := s.db.TTL(e.Key)
	if err != nil || left > life-life/64 {
		return err
	}
	err = s.db.Expire(e.Key, life, ebb.IfVersion(e.Version), ebb.NoSync)
	if errors.Is(err, ebb.ErrConditionFailed) { // another request has saved the session, or prolonged it: that holds
		return nil
	}
	return err
}
