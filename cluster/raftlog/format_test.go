package raftlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/wal"
)

func TestGolden(t *testing.T) {
	l := &raft.Log{Index: 0x0102, Term: 300, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(0, 1000)}
	c := &checkpoint{first: 200, commit: 199, stable: map[string][]byte{"b": []byte("2"), "a": nil}}
	e := &end{wal.ID{1, 2, 3}, wal.Anchor{Position: wal.Position{Segment: 7, Offset: 0x0908}, CRC: 0xaabbccdd}}
	for _, test := range []struct {
		name string
		got  []byte
		want string
	}{
		{"key of an entry", appendIndexKey(nil, kindEntry, l.Index), "650000000000000102"},
		{"key of a cut", appendIndexKey(nil, kindCut, l.Index), "750000000000000102"},
		{"entry", appendEntry(nil, l, 5), "ac0205d00f050365787464617461"},
		{"empty entry", appendEntry(nil, new(raft.Log), 0), "0000000000"},
		{"checkpoint", c.append(nil), "01c801c701020161000162" + "0132"},
		{"end", e.append(nil), "656262726166740a01010203000000000000000000000000000700000008090000ddccbbaa" + "2fd72a2e"},
	} {
		if got := hex.EncodeToString(test.got); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	var back raft.Log
	commit, err := decodeEntry(appendEntry(nil, l, 5), &back)
	if back.Index = l.Index; err != nil || commit != 5 || !sameLog(&back, l) {
		t.Errorf("entry: %+v, %d, %v", back, commit, err)
	}
	for n := range len(appendEntry(nil, l, 5)) - len(l.Data) {
		if _, err := decodeEntry(appendEntry(nil, l, 5)[:n], &back); err == nil {
			t.Errorf("entry of %d bytes was read", n)
		}
	}
	if got, err := decodeCheckpoint(c.append(nil)); err != nil || got.first != 200 || len(got.stable) != 2 || string(got.stable["b"]) != "2" {
		t.Errorf("checkpoint: %+v, %v", got, err)
	}
	for n := range c.append(nil) {
		if _, err := decodeCheckpoint(c.append(nil)[:n]); err == nil {
			t.Errorf("checkpoint of %d bytes was read", n)
		}
	}
	if got, err := decodeEnd(e.append(nil)); err != nil || got != *e {
		t.Errorf("end: %+v, %v", got, err)
	}
}

// What a newer release has written is refused by its version.
func TestNewerVersions(t *testing.T) {
	b := (&checkpoint{}).append(nil)
	b[0]++
	if _, err := decodeCheckpoint(b); !errors.Is(err, ErrVersion) {
		t.Errorf("checkpoint: %v", err)
	}
	b = new(end).append(nil)
	b[len(endMagic)]++
	if _, err := decodeEnd(b); !errors.Is(err, ErrVersion) {
		t.Errorf("end: %v", err)
	}
}

// What a decoder takes it writes again, to the byte where there is one way to write it.
func FuzzDecode(f *testing.F) {
	f.Add(appendEntry(nil, entry(6, 300, 10), 5))
	f.Add((&checkpoint{first: 200, commit: 199, stable: map[string][]byte{"a": nil, "b": []byte("2")}}).append(nil))
	f.Add(new(end).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l, again raft.Log
		if commit, err := decodeEntry(b, &l); err == nil {
			commit2, err := decodeEntry(appendEntry(nil, &l, commit), &again)
			if err != nil || commit2 != commit || !sameLog(&l, &again) {
				t.Errorf("entry %+v, again %+v, %v", l, again, err)
			}
		}
		if c, err := decodeCheckpoint(b); err == nil {
			again, err := decodeCheckpoint(c.append(nil))
			if err != nil || again.first != c.first || again.commit != c.commit || len(again.stable) != len(c.stable) ||
				len(c.stable) > 0 && !reflect.DeepEqual(c.stable, again.stable) {
				t.Errorf("checkpoint %+v, again %+v, %v", c, again, err)
			}
		}
		if e, err := decodeEnd(b); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Errorf("end %+v", e)
		}
	})
}
