package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// notices keeps what the database logs while a command runs: a line of it in the middle of the output, or of one that is
// being typed, would be in the way, and most of what it says is the command's error as well.
type notices struct {
	mu struct {
		sync.Mutex
		list []notice
	}
}

type notice struct {
	text string
	err  string // that it tells of; empty if none
}

// logger returns a logger whose warnings and errors are kept.
func (n *notices) logger() *slog.Logger { return slog.New(noticeHandler{to: n}) }

// show writes what was kept, but for what an error says.
func (n *notices) show(w io.Writer, said error) {
	n.mu.Lock()
	list := n.mu.list
	n.mu.list = nil
	n.mu.Unlock()
	for _, x := range list {
		if said == nil || x.err == "" || !strings.Contains(said.Error(), x.err) {
			io.WriteString(w, x.text)
		}
	}
}

// noticeHandler is a slog.Handler.
type noticeHandler struct {
	to    *notices
	attrs []slog.Attr
}

func (h noticeHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h noticeHandler) Handle(ctx context.Context, r slog.Record) error {
	var buf bytes.Buffer
	text := slog.NewTextHandler(&buf, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == "dir") {
			return slog.Attr{} // it is now, and the user has named it
		}
		return a
	}}).WithAttrs(h.attrs)
	if err := text.Handle(ctx, r); err != nil {
		return err
	}
	x := notice{text: buf.String()}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			x.err = a.Value.String()
		}
		return true
	})
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	h.to.mu.list = append(h.to.mu.list, x)
	return nil
}

func (h noticeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

// WithGroup is not used by the database: what it logs is flat.
func (h noticeHandler) WithGroup(string) slog.Handler { return h }
