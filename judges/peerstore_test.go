package judges

//lint:file-ignore SA1019 The peerstore over a datastore is deprecated, and what its suites judge here is the datastore.

import (
	"testing"
	"time"

	mockclock "github.com/benbjohnson/clock"
	"github.com/ebbdb/ebb"
	ebbds "github.com/ebbdb/ebb/adapters/datastore"
	pstore "github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoreds"
	suite "github.com/libp2p/go-libp2p/p2p/host/peerstore/test"
)

// open returns a datastore and what closes it.
func open(t *testing.T) (*ebbds.Datastore, func()) {
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	return ebbds.New(db, "peers"), func() { db.Close() }
}

// peers returns the factory of peerstores for a suite.
func peers(t *testing.T, o pstoreds.Options) suite.PeerstoreFactory {
	return func() (pstore.Peerstore, func()) {
		store, done := open(t)
		ps, err := pstoreds.NewPeerstore(t.Context(), store, o)
		if err != nil {
			t.Fatal(err)
		}
		return ps, func() {
			ps.Close()
			done()
		}
	}
}

func TestPeerstore(t *testing.T) {
	suite.TestPeerstore(t, peers(t, pstoreds.DefaultOpts()))
}

func TestPeerstoreProtocols(t *testing.T) {
	o := pstoreds.DefaultOpts()
	o.MaxProtocols = 10
	ps, done := peers(t, o)()
	defer done()
	suite.TestPeerstoreProtoStoreLimits(t, ps, o.MaxProtocols)
}

func TestAddrBook(t *testing.T) {
	for name, size := range map[string]uint{"cache": 1024, "no cache": 0} {
		t.Run(name, func(t *testing.T) {
			clock, o := mockclock.NewMock(), pstoreds.DefaultOpts()
			o.GCPurgeInterval, o.CacheSize, o.MaxAddrsPerPeer, o.Clock = time.Second, size, 0, clock
			suite.TestAddrBook(t, func() (pstore.AddrBook, func()) {
				store, done := open(t)
				book, err := pstoreds.NewAddrBook(t.Context(), store, o)
				if err != nil {
					t.Fatal(err)
				}
				return book, func() {
					book.Close()
					done()
				}
			}, clock)
		})
	}
}

func TestKeyBook(t *testing.T) {
	suite.TestKeyBook(t, func() (pstore.KeyBook, func()) {
		store, done := open(t)
		book, err := pstoreds.NewKeyBook(t.Context(), store, pstoreds.DefaultOpts())
		if err != nil {
			t.Fatal(err)
		}
		return book, done
	})
}
