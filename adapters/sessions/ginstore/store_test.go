package ginstore_test

import (
	"testing"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/adapters/sessions/ginstore"
	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
)

// The suite that the stores of gin-contrib/sessions pass.
func TestSuite(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	open := func(*testing.T) sessions.Store {
		return ginstore.New(db, "s/", []byte("a secret of thirty-two bytes, yes"))
	}
	t.Run("GetSet", func(t *testing.T) { tester.GetSet(t, open) })
	t.Run("DeleteKey", func(t *testing.T) { tester.DeleteKey(t, open) })
	t.Run("Flashes", func(t *testing.T) { tester.Flashes(t, open) })
	t.Run("Clear", func(t *testing.T) { tester.Clear(t, open) })
	t.Run("Options", func(t *testing.T) { tester.Options(t, open) })
	t.Run("Many", func(t *testing.T) { tester.Many(t, open) })
	t.Run("ManyStores", func(t *testing.T) { tester.ManyStores(t, open) })
}
