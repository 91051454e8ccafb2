// Package ginstore keeps the sessions of github.com/gin-contrib/sessions in an ebb database. It is gorillastore with the one
// method more that gin-contrib/sessions asks for.
//
//	router.Use(sessions.Sessions("name", ginstore.New(db, "session/", key)))
package ginstore

import (
	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/sessions/gorillastore"
	"github.com/gin-contrib/sessions"
)

var _ sessions.Store = (*Store)(nil)

// Store keeps sessions under a prefix of a database: see gorillastore.Store, whose fields are to be set before it is used.
type Store struct{ *gorillastore.Store }

// New returns the sessions of a database: see gorillastore.New.
func New(db *ebb.DB, prefix string, keyPairs ...[]byte) *Store {
	return &Store{gorillastore.New(db, prefix, keyPairs...)}
}

// Options sets the options of new sessions.
func (s *Store) Options(o sessions.Options) { s.Store.Options = o.ToGorillaOptions() }
