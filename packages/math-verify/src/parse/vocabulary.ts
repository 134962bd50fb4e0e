import type { FunctionName, RelationOperator } from "./nodes.js";

/** Function names as commands and as plain words. */
export const FUNCTIONS: Readonly<Record<string, FunctionName>> = {
  sin: "sin",
  cos: "cos",
  tan: "tan",
  cot: "cot",
  sec: "sec",
  csc: "csc",
  tg: "tan",
  ctg: "cot",
  cosec: "csc",
  arcsin: "arcsin",
  arccos: "arccos",
  arctan: "arctan",
  arccot: "arccot",
  arcsec: "arcsec",
  arccsc: "arccsc",
  arctg: "arctan",
  asin: "arcsin",
  acos: "arccos",
  atan: "arctan",
  sinh: "sinh",
  cosh: "cosh",
  tanh: "tanh",
  coth: "coth",
  sech: "sech",
  csch: "csch",
  arcsinh: "arcsinh",
  arccosh: "arccosh",
  arctanh: "arctanh",
  arsinh: "arcsinh",
  arcosh: "arccosh",
  artanh: "arctanh",
  asinh: "arcsinh",
  acosh: "arccosh",
  atanh: "arctanh",
  log: "log",
  lg: "log",
  ln: "ln",
  exp: "exp",
  abs: "abs",
  floor: "floor",
  ceil: "ceil",
  gcd: "gcd",
  lcm: "lcm",
  max: "max",
  min: "min",
  Re: "re",
  Im: "im",
  arg: "arg",
  det: "det",
  sgn: "sign",
  sign: "sign",
  conj: "conj",
};

/** Plain words that are functions only when an argument in parentheses follows. */
export const WORDS_NEEDING_PARENTHESES = new Set([
  "abs",
  "floor",
  "ceil",
  "sign",
  "sgn",
  "arg",
  "det",
  "Re",
  "Im",
  "conj",
  "lg",
  "tg",
]);

export const RELATIONS: Readonly<Record<string, RelationOperator>> = {
  le: "<=",
  leq: "<=",
  leqslant: "<=",
  leqq: "<=",
  lt: "<",
  less: "<",
  ge: ">=",
  geq: ">=",
  geqslant: ">=",
  geqq: ">=",
  gt: ">",
  ne: "!=",
  neq: "!=",
  approx: "~",
  simeq: "~",
  cong: "~",
  thickapprox: "~",
  doteq: "~",
  equiv: "=",
  in: "in",
  notin: "notin",
};

export const GREEK = new Set(
  (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron rho varrho sigma varsigma tau upsilon phi varphi chi psi omega " +
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell nabla partial aleph wp mho prime odot oplus star bullet"
  ).split(" "),
);

/** Commands that set a size, a style or a space and mean nothing. */
export const IGNORED_COMMANDS = new Set(
  (
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm displaystyle textstyle scriptstyle limits nolimits " +
    "quad qquad thinspace hspace vspace phantom hline nonumber notag rm it bf mathstrut strut kern enspace medspace thickspace negthinspace small large normalsize " +
    "mathop mathrel mathbin mathord mathopen mathclose mathpunct allowbreak noindent centering itshape bfseries cr hfill smash ensuremath"
  ).split(" "),
);

/** Commands whose argument is an ordinary letter or expression in another typeface. */
export const TYPEFACES = new Set(
  "mathbf mathit mathsf mathtt mathcal mathscr mathfrak boldsymbol bm pmb overline bar widetilde tilde widehat hat vec overrightarrow underline mathnormal dot ddot boxed fbox ensuremath bold overleftrightarrow overset".split(
    " ",
  ),
);

/** Commands whose argument is text. */
export const TEXT_COMMANDS = new Set(
  "text textbf textit textrm textsf texttt textnormal textup mbox hbox mathrm operatorname operatornamewithlimits unit si textsc emph textsuperscript".split(
    " ",
  ),
);

/** Units of more than one letter, as they stand without a \text command. */
export const UNITS = new Set(
  (
    "cm mm km dm nm um ml mL dL cl kg mg lb lbs oz ft yd mi mph kmh kph rpm hr hrs min mins sec secs ms ns Hz kHz MHz GHz kW MW kJ eV keV MeV GeV kPa Pa mol atm ohm ohms rad rads radians deg degs degree degrees sq cu cc " +
    "inch inches foot feet yard yards mile miles meter meters metre metres centimeter centimeters centimetre centimetres millimeter millimeters kilometer kilometers kilometre kilometres " +
    "gram grams kilogram kilograms pound pounds ounce ounces ton tons tonne tonnes liter liters litre litres gallon gallons quart quarts pint pints cup cups " +
    "second seconds minute minutes hour hours day days week weeks month months year years dollar dollars cent cents euro euros yuan rupee rupees usd USD " +
    "square cubic unit units percent people person persons students student apples apple points point times ways way items item pieces piece marbles coins balls books cookies tickets " +
    "newton newtons joule joules watt watts volt volts amp amps kelvin celsius fahrenheit mod"
  ).split(" "),
);

/** Single letters that are units when written upright after a number: 5\text{ m}. Never e, i or d. */
export const LETTER_UNITS = new Set("m s g h l L J N W V A K C F T H t P".split(" "));

export const CURRENCY = /^[€£¥₹₽₪₩₫฿₡₢₣₤₥₦₧₨₭₮₯₰₱₲₳₴₵₶₷₸₺₻₼₾₿$]/u;
