/**
 * Labels in languages other than English, loaded by the first badge in one of them. Each language has a text for every
 * plural form of Intl.PluralRules that it uses; `#` is the number, `@` a name.
 */

/** @typedef {{[form: string]: string}} Forms */
/**
 * @typedef {{watching: Forms, watched: Forms, anonymous: Forms, more: string, you: string, nameless: string,
 *   connecting: string, counting: string, unavailable: string, stale: string, offline: string}} Table
 */

/** @type {Record<string, Table>} */
const tables = {
  de: {
    watching: { one: "# Person schaut gerade zu", other: "# Personen schauen gerade zu" },
    watched: { one: "# Person schaute zu", other: "# Personen schauten zu" },
    anonymous: { one: "# anonyme Person", other: "# anonyme Personen" },
    more: "+# weitere",
    you: "@ (du)",
    nameless: "Gast",
    connecting: "Die Zuschauerzahl wird geladen",
    counting: "wird gezählt",
    unavailable: "nicht verfügbar",
    stale: "Verbindung wird wiederhergestellt …",
    offline: "Offline: Das ist die zuletzt bekannte Zahl",
  },
  fr: {
    watching: { one: "# personne regarde en ce moment", other: "# personnes regardent en ce moment" },
    watched: { one: "# personne regardait", other: "# personnes regardaient" },
    anonymous: { one: "# spectateur anonyme", other: "# spectateurs anonymes" },
    more: "+# autres",
    you: "@ (vous)",
    nameless: "Invité",
    connecting: "Chargement du nombre de spectateurs",
    counting: "calcul en cours",
    unavailable: "non disponible",
    stale: "Reconnexion…",
    offline: "Hors ligne : dernier nombre connu",
  },
  es: {
    watching: { one: "# persona está viendo esto ahora", other: "# personas están viendo esto ahora" },
    watched: { one: "# persona estaba viendo esto", other: "# personas estaban viendo esto" },
    anonymous: { one: "# espectador anónimo", other: "# espectadores anónimos" },
    more: "+# más",
    you: "@ (tú)",
    nameless: "Invitado",
    connecting: "Cargando el número de espectadores",
    counting: "contando",
    unavailable: "no disponible",
    stale: "Reconectando…",
    offline: "Sin conexión: este es el último número conocido",
  },
  pt: {
    watching: { one: "# pessoa está assistindo agora", other: "# pessoas estão assistindo agora" },
    watched: { one: "# pessoa estava assistindo", other: "# pessoas estavam assistindo" },
    anonymous: { one: "# espectador anônimo", other: "# espectadores anônimos" },
    more: "+# mais",
    you: "@ (você)",
    nameless: "Convidado",
    connecting: "Carregando o número de espectadores",
    counting: "contando",
    unavailable: "não disponível",
    stale: "Reconectando…",
    offline: "Sem conexão: este é o último número conhecido",
  },
  it: {
    watching: { one: "# persona sta guardando ora", other: "# persone stanno guardando ora" },
    watched: { one: "# persona stava guardando", other: "# persone stavano guardando" },
    anonymous: { one: "# spettatore anonimo", other: "# spettatori anonimi" },
    more: "+# altri",
    you: "@ (tu)",
    nameless: "Ospite",
    connecting: "Caricamento del numero di spettatori",
    counting: "conteggio in corso",
    unavailable: "non disponibile",
    stale: "Riconnessione…",
    offline: "Offline: questo è l'ultimo numero noto",
  },
  nl: {
    watching: { one: "# persoon kijkt nu", other: "# mensen kijken nu" },
    watched: { one: "# persoon keek", other: "# mensen keken" },
    anonymous: { one: "# anonieme kijker", other: "# anonieme kijkers" },
    more: "+# meer",
    you: "@ (jij)",
    nameless: "Gast",
    connecting: "Het aantal kijkers wordt geladen",
    counting: "wordt geteld",
    unavailable: "niet beschikbaar",
    stale: "Opnieuw verbinden…",
    offline: "Offline: dit is het laatst bekende aantal",
  },
  pl: {
    watching: {
      one: "# osoba ogląda teraz",
      few: "# osoby oglądają teraz",
      many: "# osób ogląda teraz",
      other: "# osoby ogląda teraz",
    },
    watched: { one: "# osoba oglądała", few: "# osoby oglądały", many: "# osób oglądało", other: "# osoby oglądało" },
    anonymous: {
      one: "# anonimowy widz",
      few: "# anonimowych widzów",
      many: "# anonimowych widzów",
      other: "# anonimowego widza",
    },
    more: "+# więcej",
    you: "@ (Ty)",
    nameless: "Gość",
    connecting: "Wczytywanie liczby widzów",
    counting: "trwa liczenie",
    unavailable: "niedostępne",
    stale: "Ponowne łączenie…",
    offline: "Offline: to ostatnia znana liczba",
  },
  ja: {
    watching: { other: "現在#人が視聴中" },
    watched: { other: "#人が視聴していました" },
    anonymous: { other: "匿名の視聴者#人" },
    more: "ほか#人",
    you: "@（あなた）",
    nameless: "ゲスト",
    connecting: "視聴者数を読み込んでいます",
    counting: "集計中",
    unavailable: "利用できません",
    stale: "再接続しています…",
    offline: "オフライン：最後に確認された人数です",
  },
  ar: {
    watching: {
      zero: "لا أحد يشاهد الآن",
      one: "شخص واحد يشاهد الآن",
      two: "شخصان يشاهدان الآن",
      few: "# أشخاص يشاهدون الآن",
      many: "# شخصًا يشاهدون الآن",
      other: "# شخص يشاهدون الآن",
    },
    watched: {
      zero: "لم يكن أحد يشاهد",
      one: "كان شخص واحد يشاهد",
      two: "كان شخصان يشاهدان",
      few: "كان # أشخاص يشاهدون",
      many: "كان # شخصًا يشاهدون",
      other: "كان # شخص يشاهدون",
    },
    anonymous: {
      one: "مشاهد مجهول واحد",
      two: "مشاهدان مجهولان",
      few: "# مشاهدين مجهولين",
      many: "# مشاهدًا مجهولًا",
      other: "# مشاهد مجهول",
    },
    more: "+# آخرون",
    you: "@ (أنت)",
    nameless: "ضيف",
    connecting: "جارٍ تحميل عدد المشاهدين",
    counting: "جارٍ العدّ",
    unavailable: "غير متاح",
    stale: "جارٍ إعادة الاتصال…",
    offline: "غير متصل: هذا آخر عدد معروف",
  },
};

/**
 * The labels of a language ("pt-BR" has those of "pt"); null if there are none.
 * @param {string} language @returns {import("./labels.js").Labels | null}
 */
export function words(language) {
  const base = language.toLowerCase().split("-")[0];
  const table = Object.prototype.hasOwnProperty.call(tables, base) ? tables[base] : null;
  if (!table) return null;
  const rules = new Intl.PluralRules(base);
  /** @param {Forms} forms @returns {(n: number, text: string) => string} */
  const counted = (forms) => (n, text) => (forms[rules.select(n)] ?? forms.other).replace("#", () => text);
  const { watching, watched, anonymous, more, you, ...others } = table;
  return {
    ...others,
    watching: counted(watching),
    watched: counted(watched),
    anonymous: counted(anonymous),
    more: counted({ other: more }),
    you: (name) => you.replace("@", () => name),
  };
}
