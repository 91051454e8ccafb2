package fiberstorage_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	fiberstorage "github.com/ebbdb/ebb/adapters/fiber"
	fiberv2 "github.com/gofiber/fiber/v2"
	sessionv2 "github.com/gofiber/fiber/v2/middleware/session"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/cache"
	"github.com/gofiber/fiber/v3/middleware/csrf"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/gofiber/fiber/v3/middleware/session"
)

// client makes requests and keeps cookies.
type client struct {
	t       *testing.T
	do      func(*http.Request) (*http.Response, error)
	cookies map[string]string
}

func newClient(t *testing.T, app *fiber.App) *client {
	return &client{t, func(r *http.Request) (*http.Response, error) { return app.Test(r) }, map[string]string{}}
}

// request makes a request with headers, a name and a value each, and returns the status and the body.
func (c *client) request(method string, headers ...string) (string, *http.Response) {
	c.t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	response, err := c.do(r)
	must(c.t, err)
	body, err := io.ReadAll(response.Body)
	must(c.t, err)
	for _, cookie := range response.Cookies() {
		c.cookies[cookie.Name] = cookie.Value
	}
	return fmt.Sprint(response.StatusCode, " ", string(body)), response
}

func (c *client) want(want, method string, headers ...string) {
	c.t.Helper()
	if got, _ := c.request(method, headers...); got != want {
		c.t.Errorf("%s %v: %q, want %q", method, headers, got, want)
	}
}

func TestSession(t *testing.T) {
	db, clock := open(t)
	app := fiber.New()
	app.Use(session.New(session.Config{Storage: fiberstorage.New(db, "s/"), IdleTimeout: time.Hour}))
	app.Get("/", func(c fiber.Ctx) error {
		s := session.FromContext(c)
		n, _ := s.Get("n").(int)
		s.Set("n", n+1)
		return c.SendString(fmt.Sprint(n))
	})
	alice, bob := newClient(t, app), newClient(t, app)
	alice.want("200 0", "GET")
	alice.want("200 1", "GET")
	bob.want("200 0", "GET")
	clock.add(time.Hour - time.Millisecond)
	alice.want("200 2", "GET") // which lives on by that
	clock.add(time.Millisecond)
	alice.want("200 3", "GET")
	bob.want("200 0", "GET")
}

func TestSessionV2(t *testing.T) {
	db, clock := open(t)
	store := sessionv2.New(sessionv2.Config{Storage: fiberstorage.New(db, "s/"), Expiration: time.Hour})
	app := fiberv2.New()
	app.Get("/", func(c *fiberv2.Ctx) error {
		s, err := store.Get(c)
		if err != nil {
			return err
		}
		n, _ := s.Get("n").(int)
		s.Set("n", n+1)
		if err := s.Save(); err != nil {
			return err
		}
		return c.SendString(fmt.Sprint(n))
	})
	c := &client{t, func(r *http.Request) (*http.Response, error) { return app.Test(r) }, map[string]string{}}
	c.want("200 0", "GET")
	c.want("200 1", "GET")
	clock.add(time.Hour)
	c.want("200 0", "GET")
}

func TestCache(t *testing.T) {
	db, _ := open(t)
	app, calls := fiber.New(), 0
	storage := fiberstorage.New(db, "cache/")
	app.Use(cache.New(cache.Config{Storage: storage, Expiration: time.Hour}))
	app.Get("/", func(c fiber.Ctx) error {
		calls++
		return c.SendString(fmt.Sprint(calls))
	})
	c := newClient(t, app)
	c.want("200 1", "GET")
	c.want("200 1", "GET")
	must(t, storage.Reset())
	c.want("200 2", "GET")
}

func TestLimiter(t *testing.T) {
	db, _ := open(t)
	app := fiber.New()
	app.Use(limiter.New(limiter.Config{Storage: fiberstorage.New(db, "limit/"), Max: 2, Expiration: time.Hour}))
	app.Get("/", func(c fiber.Ctx) error { return c.SendString("ok") })
	c := newClient(t, app)
	c.want("200 ok", "GET")
	c.want("200 ok", "GET")
	c.want("429 Too Many Requests", "GET")
}

func TestCSRF(t *testing.T) {
	db, _ := open(t)
	app := fiber.New()
	storage := fiberstorage.New(db, "csrf/")
	app.Use(csrf.New(csrf.Config{Storage: storage, SingleUseToken: true}))
	app.All("/", func(c fiber.Ctx) error { return c.SendString("ok") })
	c := newClient(t, app)
	c.want("200 ok", "GET")
	token := c.cookies["csrf_"]
	if token == "" {
		t.Fatal("no token")
	}
	c.want("403 Forbidden", "POST")
	c.cookies["csrf_"] = token
	c.want("200 ok", "POST", "X-Csrf-Token", token)
	c.cookies["csrf_"] = token
	c.want("403 Forbidden", "POST", "X-Csrf-Token", token) // used
}

func TestIdempotency(t *testing.T) {
	db, clock := open(t)
	app, calls := fiber.New(), 0
	app.Use(idempotency.New(idempotency.Config{Storage: fiberstorage.New(db, "once/"), Lifetime: time.Hour}))
	app.Post("/", func(c fiber.Ctx) error {
		calls++
		return c.SendString(fmt.Sprint(calls))
	})
	c, first, second := newClient(t, app), strings.Repeat("1", 36), strings.Repeat("2", 36)
	c.want("200 1", "POST", "X-Idempotency-Key", first)
	c.want("200 1", "POST", "X-Idempotency-Key", first)
	c.want("200 2", "POST", "X-Idempotency-Key", second)
	clock.add(time.Hour)
	c.want("200 3", "POST", "X-Idempotency-Key", first)
}
